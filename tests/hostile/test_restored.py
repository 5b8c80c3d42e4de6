"""The database is restored to an earlier time while a worker holds a claim of a later one."""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from hodei.local.embedded_postgres import CannotStart, EmbeddedPostgres
from hodei.local.stack import Part, Stack
from tests.eventually import eventually
from tests.hostile.test_postgres import server_of
from tests.running import Hodei, start

LATE = "SELECT payload FROM domain_events WHERE aggregate_id = %s AND event_type = 'JobLateResult'"


class Restorable:
    """One server with a PostgreSQL of its own, whose folder can be put back."""

    def __init__(self, postgres: EmbeddedPostgres, folder: Path) -> None:
        self.postgres = postgres
        self.hodei = start(server_of(postgres.dsn()), folder, servers=1)
        self.port = int(self.hodei.addresses[0].rpartition(":")[2])

    def end_server(self) -> None:
        server = next(part for part in self.hodei.stack.parts if part.name.startswith("server"))
        server.process.kill()
        server.process.wait()
        self.hodei.stack.parts.remove(server)

    def start_server(self, name: str) -> None:
        self.hodei.stack.server(name, self.hodei.url, self.port)

    def copy(self, source: str, target: str) -> None:
        """Copies the folder of PostgreSQL, which is stopped meanwhile; the server is down."""
        self.hodei.conn.close()
        self.postgres.stop()
        shutil.rmtree(self.postgres.base / target, ignore_errors=True)
        subprocess.run(
            ["cp", "-a", str(self.postgres.base / source), str(self.postgres.base / target)],
            check=True,
        )
        self.postgres.start()
        self.hodei.conn = psycopg.connect(self.hodei.url, autocommit=True)

    def worker(self, name: str, token: str | None, *flags: str) -> Part:
        hodei = self.hodei
        return hodei.stack.worker(
            f"{name}-{len(hodei.stack.parts)}",
            hodei.addresses[0],
            hodei.folder / name,
            token,
            *("--name", name, *flags),
        )


@pytest.fixture
def restorable(open_folder: Path, tmp_path: Path) -> Iterator[Restorable]:
    with EmbeddedPostgres(open_folder / "pg") as postgres:
        system = Restorable(postgres, tmp_path)
        try:
            yield system
        finally:
            system.hodei.stack.stop()
            system.hodei.conn.close()


def ended(hodei: Hodei, name: str) -> bool:
    return hodei.sql("SELECT connected FROM workers WHERE name = %s", name) == [(False,)]


def test_what_is_newer_than_the_restored_time_is_refused_and_kept(restorable: Restorable) -> None:
    hodei = restorable.hodei
    worker = restorable.worker("alpha", hodei.token())
    Stack.stop_part(worker)
    eventually(lambda: ended(hodei, "alpha"))
    unused = hodei.token()
    hodei.sql("INSERT INTO provider_configs (name, provider_type) VALUES ('pool', 'docker')")
    go = hodei.folder / "go"
    job_id = hodei.submit("--command", f"until test -e {go}; do sleep 0.05; done")
    restorable.end_server()
    restorable.copy("data", "backup")

    # What the backup does not know: a claim, whose job ends while no server is there; a worker.
    restorable.start_server("server-after-backup")
    restorable.worker("alpha", None)
    hodei.until(job_id, "RUNNING")
    ((lost_lease,),) = hodei.sql("SELECT lease FROM jobs WHERE id = %s", job_id)
    stranger = restorable.worker("beta", unused, "--label", "only=beta")
    restorable.end_server()
    go.touch()
    restorable.copy("backup", "data")

    environment = {"HODEI_DATABASE_URL": hodei.url}
    report = hodei_db_restored(environment)
    assert "Consumed 1 token." in report
    assert "Paused 1 provider: pool." in report
    restorable.start_server("server-restored")

    ((late,),) = eventually(lambda: hodei.sql(LATE, job_id), 60)
    assert (late["lease"], late["outcome"], late["restored"]) == (lost_lease, "SUCCEEDED", True)
    job = hodei.finish(job_id)
    assert (job["state"], job["attempts"]) == ("SUCCEEDED", 1)
    numbers = "SELECT payload ->> 'lease' FROM domain_events WHERE event_type = 'JobAssigned'"
    assert [int(lease) > 10**15 for (lease,) in hodei.sql(numbers)] == [True]

    log = hodei.stack.logs / f"{stranger.name}.log"
    eventually(lambda: "create a new one with `hodei token create`" in log.read_text(), 60)
    assert hodei.sql("SELECT name FROM workers") == [("alpha",)]
    with pytest.raises(CannotStart, match="token"):
        restorable.worker("gamma", unused)


def hodei_db_restored(environment: dict[str, str]) -> str:
    command = [sys.executable, "-m", "hodei.cli.main", "db", "restored"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout
