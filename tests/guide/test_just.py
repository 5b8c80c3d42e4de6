"""Each recipe of the justfile, run by the real `just`."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import TREE
from tests.eventually import gone
from tests.factories import on, pending_job, ready_worker

JUST = shutil.which("just", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")


def just(env: dict[str, str], *arguments: str, stdin: str = "") -> str:
    assert JUST, "rust-just is part of the test extra"
    ran = subprocess.run(
        [JUST, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        env=env,
        cwd=TREE,
        check=False,
        timeout=30,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


@pytest.fixture
def job_id(database_url: str) -> str:
    on(database_url, ready_worker)
    return str(on(database_url, pending_job))


def test_the_recipes_are_the_guides(shell_env: dict[str, str]) -> None:
    assert set(just(shell_env, "--summary").split()) == {
        "debug-jobs",
        "debug-queue",
        "debug-workers",
        "debug-system",
        "debug-job",
        "debug-job-timeline",
        "check-job-health",
        "clean-all",
        "restart-all",
        "watch-jobs",
        "watch-workers",
        "watch-queue",
        "logs-server",
        "logs-worker",
    }


def test_the_list_says_what_each_recipe_does_and_which_ones_destroy(
    shell_env: dict[str, str],
) -> None:
    lines = just(shell_env, "--list").splitlines()[1:]
    assert all(" # " in line for line in lines), lines
    assert {line.split()[0] for line in lines if "DESTRUCTIVO" in line} == {
        "clean-all",
        "restart-all",
    }


@pytest.mark.parametrize(
    ("recipe", "shows"),
    [
        ("debug-jobs", "PENDING"),
        ("debug-queue", "PENDING"),
        ("watch-jobs", "PENDING"),
        ("watch-queue", "     1"),
        ("debug-system", "COLA DE JOBS"),
    ],
)
def test_job_recipes(shell_env: dict[str, str], job_id: str, recipe: str, shows: str) -> None:
    said = just(shell_env, recipe)
    assert shows in said
    assert job_id in said or recipe in ("watch-queue", "debug-system")


@pytest.mark.parametrize("recipe", ["debug-workers", "watch-workers"])
def test_worker_recipes(shell_env: dict[str, str], job_id: str, recipe: str) -> None:
    assert "READY" in just(shell_env, recipe)


def test_debug_job_takes_an_id_or_asks(shell_env: dict[str, str], job_id: str) -> None:
    expected = f"ID: {job_id} | Estado: PENDING | Intentos: 0"
    assert expected in just(shell_env, "debug-job", job_id)
    assert expected in just(shell_env, "debug-job", stdin=f"{job_id}\n")


def test_timeline_and_health(shell_env: dict[str, str], job_id: str) -> None:
    assert "JobCreated" in just(shell_env, "debug-job-timeline", job_id)
    assert "✅ Job existe" in just(shell_env, "check-job-health", job_id)


def test_clean_all(shell_env: dict[str, str], job_id: str, tmp_path: Path) -> None:
    assert "✅ Sistema limpiado" in just(shell_env | {"HODEI_RUN_DIR": str(tmp_path)}, "clean-all")


@pytest.mark.parametrize(
    ("recipe", "line", "other"),
    [
        ("logs-server", "INFO JobDispatcher: RUN_JOB command sent", "INFO hodei-server is ready"),
        ("logs-worker", "INFO Executing x", "INFO hi"),
    ],
)
def test_log_recipes_follow_the_log_and_filter_it(
    shell_env: dict[str, str], tmp_path: Path, recipe: str, line: str, other: str
) -> None:
    """`tail` is given this test's file instead of the one in /tmp, which may be somebody's."""
    log = tmp_path / "a.log"
    log.write_text(f"{other}\n{line}\n")
    shim = tmp_path / "bin"
    shim.mkdir()
    (shim / "tail").write_text(
        f'#!/bin/sh\n[ "$1 $2" = "-f /tmp/{recipe[5:]}.log" ] && exec cat {log}\n'
    )
    (shim / "tail").chmod(0o755)
    assert just(shell_env | {"PATH": f"{shim}:{shell_env['PATH']}"}, recipe) == f"{line}\n"


def restarted(env: dict[str, str], out: Path) -> str:
    """What the recipe says; in a file, as server and worker outlive it and would hold a pipe
    open."""
    assert JUST
    with out.open("w") as file:
        ran = subprocess.run(
            [JUST, "restart-all"],
            stdout=file,
            stderr=file,
            env=env,
            cwd=TREE,
            check=False,
            timeout=60,
        )
    assert ran.returncode == 0, out.read_text()
    return out.read_text()


def test_restart_all_brings_a_working_system(
    shell_env: dict[str, str], tmp_path: Path, database_url: str
) -> None:
    """Real server and worker; PostgreSQL by the shim. Twice: the second run ends what the first
    started."""
    from hodei.local.embedded_postgres import free_port

    port = free_port()
    env = shell_env | {
        "HODEI_RUN_DIR": str(tmp_path),
        "HODEI_GRPC_PORT": str(port),
        "DATABASE_URL": database_url,
        "HODEI_STATE_DIR": str(tmp_path / "w"),
        "HODEI_ON_WORKER_EXIT": "kill",
        "HODEI_VENV": str(Path(sys.executable).parents[1]),
    }
    pids: list[int] = []
    try:
        for _ in range(2):
            said = restarted(env, tmp_path / "out")
            assert "✅ Sistema reiniciado" in said
            assert "ERROR" not in said
            before = pids
            pids = [
                int((tmp_path / f"hodei-{part}.pid").read_text()) for part in ("server", "worker")
            ]
            assert all(gone(pid) for pid in before)
            command = [sys.executable, "-m", "hodei.cli.main", "--server", f"127.0.0.1:{port}"]
            command += ["job", "run", "--command", "echo restarted"]
            ran = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
            assert ran.stdout == "restarted\n"
    finally:
        for pid in reversed(pids):
            os.kill(pid, 15)
        deadline = time.monotonic() + 15
        while not all(gone(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.1)
