"""The guide's scripts: to the byte, and what they say about each kind of stuck job."""

import hashlib
import os
import signal
import subprocess
import uuid
from pathlib import Path

import pytest

from hodei.local.embedded_postgres import free_port
from hodei.store import leases, stray_leases
from hodei.store.database import Connection as AsyncConnection
from tests.conftest import TREE, Connection
from tests.eventually import eventually
from tests.factories import (
    assigned_job,
    final_job,
    on,
    pending_job,
    ready_worker,
    running_job,
    silence,
)

VERBATIM = {
    "debug-job.sh": "638b669dc687014711d51643f480833378c30cd5daa45ee645a0c2f03110b365",
    "system-status.sh": "96a5e07140193c050111b1e7428cf8b4912046e6d7944b7b1d413fba566f151d",
    "check-job-health.sh": "1f579aa5345fb6d37d52d552eeb326289ea01c158bbbe7fe0355616b2dd8ad69",
}


def run(env: dict[str, str], script: str, *arguments: str, code: int = 0) -> str:
    ran = subprocess.run(
        [TREE / "scripts" / script, *arguments],
        capture_output=True,
        text=True,
        env=env,
        cwd=TREE,
        check=False,
    )
    assert ran.returncode == code, ran.stdout + ran.stderr
    assert ran.stderr == ""
    return ran.stdout


@pytest.mark.parametrize("name", VERBATIM)
def test_it_is_the_guides_to_the_byte(name: str) -> None:
    path = TREE / "scripts" / name
    assert hashlib.sha256(path.read_bytes()).hexdigest() == VERBATIM[name]
    assert os.access(path, os.X_OK)


def test_a_queued_job_without_workers(database_url: str, shell_env: dict[str, str]) -> None:
    job_id = str(on(database_url, pending_job))
    said = run(shell_env, "debug-job.sh", job_id)
    assert f"ID: {job_id} | Estado: PENDING | Intentos: 0" in said
    assert "SÍ - Está en job_queue" in said
    assert said.split("WORKERS DISPONIBLES:")[1].split()[1] == "0"
    assert '"command": "true"' in said


async def _assigned(conn: AsyncConnection) -> str:
    return str((await assigned_job(conn, await ready_worker(conn))).job_id)


def test_a_job_offered_to_a_worker_that_has_not_accepted(
    database_url: str, shell_env: dict[str, str]
) -> None:
    job_id = on(database_url, _assigned)
    said = run(shell_env, "debug-job.sh", job_id)
    assert f"ID: {job_id} | Estado: PENDING | Intentos: 0" in said
    assert "NO - No está en job_queue" in said
    assert said.split("WORKERS DISPONIBLES:")[1].split()[1] == "1"
    timeline = run(shell_env, "debug-job-timeline.sh", job_id)
    assert "JobAssigned" in timeline
    assert "system:job_dispatcher" in timeline
    assert "(2 rows)" in timeline


async def _on_silent_worker(conn: AsyncConnection) -> str:
    worker = await ready_worker(conn)
    offer = await running_job(conn, worker)
    await silence(conn, worker, 45)
    return str(offer.job_id)


def test_a_job_running_on_a_silent_worker(database_url: str, shell_env: dict[str, str]) -> None:
    job_id = on(database_url, _on_silent_worker)
    said = run(shell_env, "debug-job.sh", job_id)
    assert f"ID: {job_id} | Estado: RUNNING | Intentos: 1" in said
    assert said.split("WORKERS DISPONIBLES:")[1].split()[1] == "0"
    assert "READY" in said.split("WORKERS RECIENTES:")[1], "seen within two minutes"


async def _finished(conn: AsyncConnection) -> str:
    return str((await final_job(conn, await ready_worker(conn), "FAILED")).job_id)


def test_a_finished_job(database_url: str, shell_env: dict[str, str]) -> None:
    job_id = on(database_url, _finished)
    assert f"ID: {job_id} | Estado: FAILED | Intentos: 1" in run(shell_env, "debug-job.sh", job_id)
    health = run(shell_env, "check-job-health.sh", job_id)
    assert "✅ Job existe" in health
    assert "Estado actual:  FAILED" in health
    assert "Eventos registrados:      4" in health
    assert health.count("JobStatusChanged") == 2


def test_an_unknown_job(shell_env: dict[str, str]) -> None:
    nobody = str(uuid.uuid4())
    said = run(shell_env, "debug-job.sh", nobody)
    assert "Estado:" not in said.split("EN COLA")[0].split("------------------")[1]
    assert "NO - No está en job_queue" in said
    assert "❌ Job no existe en la base de datos" in run(
        shell_env, "check-job-health.sh", nobody, code=1
    )


@pytest.mark.parametrize(
    "word", ["'; DROP TABLE jobs; --", "x' OR 'a' = 'a", "-h", "\\! id", "x" * 10_000]
)
def test_what_is_no_id_has_no_events_and_is_no_sql(
    db: Connection, database_url: str, shell_env: dict[str, str], word: str
) -> None:
    on(database_url, pending_job)
    said = run(shell_env, "debug-job-timeline.sh", word)
    assert said.startswith(f"🔍 Fetching timeline for Job ID: {word}\n")
    assert "(0 rows)" in said
    assert db.execute("SELECT count(*) FROM jobs").fetchone() == (1,)


@pytest.mark.parametrize("script", ["debug-job.sh", "check-job-health.sh", "debug-job-timeline.sh"])
def test_without_an_id_they_say_how_they_are_used(shell_env: dict[str, str], script: str) -> None:
    assert "Uso: " in run(shell_env, script, code=1)


async def _mixed(conn: AsyncConnection) -> None:
    worker = await ready_worker(conn)
    await final_job(conn, worker)
    await running_job(conn, worker)
    await pending_job(conn)


def test_system_status_counts_truthfully(
    database_url: str, shell_env: dict[str, str], db: Connection
) -> None:
    on(database_url, _mixed)
    db.execute("INSERT INTO provider_configs (name, provider_type) VALUES ('Docker', 'Docker')")
    db.execute("INSERT INTO worker_bootstrap_tokens DEFAULT VALUES")
    said = " ".join(run(shell_env, "system-status.sh").split())
    assert "JOBS: -------- 1 | 1 | 1 | 0" in said
    assert "READY | 1" in said
    assert "COLA DE JOBS: ---------------- 1" in said
    assert "Docker | ACTIVE | Docker" in said
    assert "TOKENS ACTIVOS: ------------------ 2 | 1" in said


def test_clean_drops_what_it_says_in_one_transaction_and_can_be_repeated(
    database_url: str, shell_env: dict[str, str], db: Connection, tmp_path: Path
) -> None:
    on(database_url, _mixed)
    events = db.execute("SELECT count(*) FROM domain_events").fetchone()
    for _ in range(2):
        ran = subprocess.run(
            [TREE / "scripts/clean-system.sh"],
            env=shell_env | {"HODEI_RUN_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0
        assert "✅ Sistema limpiado" in ran.stdout
        assert "ERROR" not in ran.stderr
        gone = """
            SELECT to_regclass(t)
            FROM unnest(ARRAY['job_queue', 'jobs', 'workers', 'worker_bootstrap_tokens', 'job_events']) t
        """
        assert db.execute(gone).fetchall() == [(None,)] * 5
        assert db.execute("SELECT count(*) FROM domain_events").fetchone() == events
        subprocess.run(
            ["psql", "-X", "-q", "-f", TREE / "schema.sql"],
            env=shell_env,
            check=True,
            capture_output=True,
        )
    assert on(database_url, _claimable_after_clean) == []


async def _claimable_after_clean(conn: AsyncConnection) -> list[leases.Claimant]:
    return [claimant for claimant, _ in await stray_leases.orphaned(conn)]


def test_clean_ends_recorded_processes_and_no_others(
    shell_env: dict[str, str], tmp_path: Path
) -> None:
    """A pid file that names somebody else's process leaves it alone."""
    stranger = subprocess.Popen(["sleep", "60"])
    ours = subprocess.Popen(["sh", "-c", "exec -a hodei-server sleep 60"], executable="/bin/bash")
    name = Path(f"/proc/{ours.pid}/cmdline")
    eventually(lambda: name.read_bytes().startswith(b"hodei-server\0"))  # the shell has become it
    (tmp_path / "hodei-worker.pid").write_text(str(stranger.pid))
    (tmp_path / "hodei-server.pid").write_text(str(ours.pid))
    try:
        env = shell_env | {"HODEI_RUN_DIR": str(tmp_path)}
        with subprocess.Popen([TREE / "scripts/clean-system.sh"], env=env) as script:
            assert ours.wait(20) == -15
            assert script.wait(30) == 0
        assert stranger.poll() is None
        assert list(tmp_path.glob("*.pid")) == []
    finally:
        stranger.kill()
        stranger.wait()
        ours.kill()
        ours.wait()


def test_restart_hands_no_database_to_its_worker(
    shell_env: dict[str, str], database_url: str, tmp_path: Path
) -> None:
    port = free_port()
    env = shell_env | {
        "DATABASE_URL": database_url,
        "HODEI_DATABASE_URL": database_url,
        "HODEI_RUN_DIR": str(tmp_path),
        "HODEI_GRPC_PORT": str(port),
        "HODEI_STATE_DIR": str(tmp_path / "state"),
    }
    try:
        ran = subprocess.run(
            [TREE / "scripts/restart-system.sh"],
            env=env,
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
        assert "✅ Sistema reiniciado" in ran.stdout, ran.stdout + ran.stderr
        pid = (tmp_path / "hodei-worker.pid").read_text().strip()
        names = [
            line.partition("=")[0] for line in Path(f"/proc/{pid}/environ").read_text().split("\0")
        ]
        assert not [
            name
            for name in names
            if name.startswith("PG") or "DATABASE" in name or name.endswith("_URL")
        ]
        assert "HODEI_OTP_TOKEN" in names
    finally:
        for name in ("hodei-worker", "hodei-server"):
            if (tmp_path / f"{name}.pid").exists():
                os.kill(int((tmp_path / f"{name}.pid").read_text()), signal.SIGTERM)
