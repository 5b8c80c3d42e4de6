"""What a server says of its health, and what the command line makes of it."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.eventually import eventually
from tests.fault_proxy import FaultProxy
from tests.running import Hodei


@pytest.fixture
def cut_off(fresh: Hodei, pg_server: SimpleNamespace) -> Iterator[tuple[str, FaultProxy]]:
    """A server of its own way to the database, and that way."""
    with FaultProxy(f"{pg_server.host}:{pg_server.port}") as way:
        url = fresh.url.replace(f"{pg_server.host}:{pg_server.port}", f"127.0.0.1:{way.port}")
        yield fresh.stack.server("apart", url), way
        way.heal()
        fresh.stack.stop()


def hodei(servers: str, *arguments: str) -> subprocess.Popen[str]:
    argv = [sys.executable, "-m", "hodei.cli.main", "--server", servers, *arguments]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_commands_and_followers_pass_over_a_server_that_is_without_its_database(
    fresh: Hodei, cut_off: tuple[str, FaultProxy], tmp_path: Path
) -> None:
    apart, way = cut_off
    servers = f"{apart},{fresh.addresses[0]}"
    fresh.stack.worker("worker", fresh.addresses[0], tmp_path / "worker", fresh.token())
    assert f"{apart} answered" in fresh_status(servers)
    with hodei(servers, "job", "run", "--command", "for n in 1 2 3 4 5 6 7 8 9 10 11 12; do echo $n; sleep 1; done") as follower:
        assert follower.stdout
        assert follower.stdout.readline() == "1\n"
        way.refuse()
        eventually(lambda: f"{fresh.addresses[0]} answered" in fresh_status(servers), most_s=20)
        out, _ = follower.communicate(timeout=60)
    assert follower.returncode == 0
    assert out.split() == [str(n) for n in range(2, 13)]
    alone = hodei(apart, "status")
    _, said = alone.communicate(timeout=60)
    assert alone.returncode == 1
    assert "the database is not available" in said or "the connection to the database failed" in said
    way.heal()
    eventually(lambda: f"{apart} answered" in fresh_status(servers), most_s=30)


def fresh_status(servers: str) -> str:
    return hodei(servers, "status").communicate(timeout=60)[0]


def test_on_a_read_only_database_the_words_are_shown(fresh: Hodei) -> None:
    fresh.sql(f"ALTER DATABASE {fresh.conn.info.dbname} SET default_transaction_read_only = on")
    fresh.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")

    def refused() -> bool:
        ran = fresh.run("job", "submit", "--command", "true")
        return ran.code == 1 and "read-only" in ran.err

    eventually(refused, most_s=30, every_s=0.5)
