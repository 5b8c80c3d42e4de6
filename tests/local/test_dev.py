"""`hodei dev` and `bin/demo`, as newcomers run them."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hodei.local.embedded_postgres import free_port
from tests.conftest import TREE, Connection
from tests.eventually import eventually

pytestmark = pytest.mark.unprivileged


def environment() -> dict[str, str]:
    return {
        key: value
        for key, value in os.environ.items()
        if not key.startswith("HODEI_") and key != "DATABASE_URL"
    }


class Dev:
    def __init__(self, data: Path, ambient: dict[str, str], *python: str) -> None:
        self.data = data
        self.port = free_port()
        self.out = data.with_suffix(".out")
        with self.out.open("w") as out:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    *python,
                    "-m",
                    "hodei.cli.main",
                    "dev",
                    "--data-dir",
                    str(data),
                    "--port",
                    str(self.port),
                ],
                stdout=out,
                stderr=out,
                env=environment() | ambient,
                start_new_session=True,
            )

    def said(self) -> str:
        return self.out.read_text()

    def await_up(self) -> None:
        eventually(
            lambda: "Hodei is up" in self.said() or self.process.poll() is not None, most_s=40
        )
        assert "Hodei is up" in self.said(), self.said()

    def run(self, command: str) -> str:
        server = ["--server", f"127.0.0.1:{self.port}"]
        argv = [sys.executable, "-m", "hodei.cli.main", *server, "job", "run", "--command", command]
        return subprocess.run(
            argv, capture_output=True, text=True, env=environment(), check=True, timeout=30
        ).stdout

    def processes(self) -> list[str]:
        """Every process that names our data folder, but the one under test itself."""
        found = []
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if f"{self.data}/" in words and int(path.parent.name) != os.getpid():
                found.append(words)
        return found


@contextmanager
def running(data: Path, **ambient: str) -> Iterator[Dev]:
    dev = Dev(data, ambient)
    try:
        dev.await_up()
        yield dev
    finally:
        if dev.process.poll() is None:
            dev.process.kill()
        dev.process.wait()
        eventually(lambda: not dev.processes(), most_s=20)


def test_it_runs_jobs_keeps_its_data_and_ends_cleanly_on_ctrl_c(open_folder: Path) -> None:
    data = open_folder / "dev"
    with running(data) as dev:
        assert dev.run("echo first") == "first\n"
        second = subprocess.run(
            [sys.executable, "-m", "hodei.cli.main", "dev", "--data-dir", str(data)],
            capture_output=True,
            text=True,
            env=environment(),
            check=False,
        )
        assert second.returncode == 125
        assert f"is in use by another hodei (pid {dev.process.pid})" in second.stderr
        dev.process.send_signal(signal.SIGINT)
        assert dev.process.wait(30) == 0
        assert dev.said().rstrip().endswith("stopped")
        eventually(lambda: not dev.processes())  # whatever a worker leaves ends by itself
    with running(data) as dev:
        listed = subprocess.run(
            [
                sys.executable,
                "-m",
                "hodei.cli.main",
                "--server",
                f"127.0.0.1:{dev.port}",
                "job",
                "list",
            ],
            capture_output=True,
            text=True,
            env=environment(),
            check=True,
        )
        assert " echo " in listed.stdout, "named by the first word of its command"
        assert dev.run("echo again") == "again\n"


def test_killed_it_leaves_no_orphan(open_folder: Path) -> None:
    with running(open_folder / "dev") as dev:
        subprocess.run(
            [
                sys.executable,
                "-m",
                "hodei.cli.main",
                "--server",
                f"127.0.0.1:{dev.port}",
                "job",
                "submit",
                "--",
                "sleep",
                "987",
            ],
            capture_output=True,
            env=environment(),
            check=True,
        )
        eventually(lambda: sleeping("987"))
        dev.process.kill()
        eventually(lambda: not dev.processes(), most_s=30)
        eventually(lambda: not sleeping("987"))


AMBIENT = {
    "DATABASE_URL": "postgres://u:hidden-word@127.0.0.1:1/production",
    "HODEI_DATABASE_URL": "postgres://u:hidden-word@127.0.0.1:1/production",
    "HODEI_DATABASE_URL_FILE": "/nowhere",
    "HODEI_DEV_DATABASE_URL": "postgres://u:hidden-word@127.0.0.1:1/production",
    "HODEI_LISTEN_URL": "postgres://u:hidden-word@127.0.0.1:1/production",
    "PGHOST": "127.0.0.9",
    "PGPORT": "1",
    "PGSERVICE": "production",
    "PGPASSWORD": "hidden-word",
    "PGOPTIONS": "-c search_path=elsewhere",
    "PGSSLMODE": "require",
}
"""Of somebody who works with another database."""


def environments(dev: Dev, program: str) -> list[str]:
    """Of each process of this program that dev started."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if f"-m\0{program}".encode() in path.read_bytes():
                environ = (path.parent / "environ").read_bytes().replace(b"\0", b"\n").decode()
                if str(dev.data) in path.read_text() or f":{dev.port}" in path.read_text():
                    found.append(environ)
        except OSError:
            continue
    return found


@pytest.mark.long
def test_an_ambient_database_is_not_used_and_none_is_handed_to_the_worker(
    open_folder: Path,
) -> None:
    with running(open_folder / "dev", **AMBIENT) as dev:
        assert "DATABASE_URL is set and not used" in dev.said()
        assert "hidden-word" not in dev.said()
        assert (open_folder / "dev" / "password").read_text() not in dev.said()
        assert dev.run("env | grep -E 'PG|DATABASE' || echo nothing") == "nothing\n"
        for program in ("hodei_worker", "hodei_worker.supervisor"):
            for environ in (found := environments(dev, program)):
                assert not [
                    name
                    for name in environ.splitlines()
                    if name.startswith("PG") or "DATABASE" in name or "_URL" in name
                ]
            assert found
        (server,) = environments(dev, "hodei.cli.server")
        assert "hidden-word" not in server


def test_it_starts_whatever_the_ambient_settings_of_logs_are(open_folder: Path) -> None:
    """They would hide the words by which it knows that a part is ready, and the warnings that it
    shows, which it takes from lines of text."""
    ambient = {
        "HODEI_LOG_LEVEL": "warning",
        "HODEI_LOG": "error, psycopg=debug,hodei.server=critical",
        "HODEI_LOG_FORMAT": "json",
    }
    with running(open_folder / "dev", **ambient) as dev:
        assert dev.run("echo ready") == "ready\n"
        log = (dev.data / "logs" / "server-1.log").read_text()
        assert " SUCCESS hodei-server is ready" in log
        assert " DEBUG   psycopg" in log


def sleeping(seconds: str) -> bool:
    def words(path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError:
            return b""

    return any(
        words(path) == f"sleep\0{seconds}\0".encode()
        for path in Path("/proc").glob("[0-9]*/cmdline")
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "ambient",
    [
        pytest.param({"HODEI_API_KEY": "of-another-server"}, id="with a key for another server"),
        pytest.param(AMBIENT, id="beside another database", marks=pytest.mark.long),
    ],
)
def test_the_demo_ends_as_it_should(ambient: dict[str, str]) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "hodei.local.demo"],
        capture_output=True,
        text=True,
        env=environment() | ambient,
        timeout=120,
        check=False,
        cwd=TREE,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for words in (
        "bytes compressed",
        "  after ",  # a line of a log that grows
        "loaded: ROW 3",
        "workers alpha and beta",
        "100,000 lines, each once and in order",
        "FAILED",
        "EXIT_NONZERO",
        "JobAssigned",
        "All went as it should",
    ):
        assert words in ran.stdout


@pytest.mark.slow
def test_the_demo_uses_another_database_when_a_flag_says_so(
    database_url: str, db: Connection, open_folder: Path
) -> None:
    file = open_folder / "url"
    file.write_text(database_url)
    argv = [sys.executable, "-m", "hodei.local.demo", "--database-url-file", str(file)]
    subprocess.run(argv, capture_output=True, env=environment(), timeout=120, check=True, cwd=TREE)
    (count,) = db.execute("SELECT count(*) FROM jobs").fetchone() or (0,)
    assert count == 7
