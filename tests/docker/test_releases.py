"""The release before beside this one: a container job is never run as a process on a host."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from hodei.local.stack import mint_token
from tests.docker.tiny_image import NAME as IMAGE
from tests.docker.workers import BOTH
from tests.running import new_database
from tests.upgrade.releases import Both, both


@pytest.fixture
def releases(pg_server: SimpleNamespace, tmp_path: Path) -> Iterator[Both]:
    made = both(new_database(pg_server), tmp_path)
    yield made
    made.new.stack.stop()
    made.old.stack.stop()
    made.conn.close()


def test_no_container_job_runs_on_a_host(
    releases: Both, tmp_path: Path, docker_socket: str
) -> None:
    """An old server with an old and a new worker, then a new server with an old worker that even
    claims the label, and at last with a new one."""
    old, new = releases.old, releases.new
    new.db("apply")
    on_host = tmp_path / "on-host"
    spec = {"image": IMAGE, "network": "none", "command": f"touch {on_host}; echo contained"}
    old_server = old.server("server", releases.ports[0])
    old.worker("old", releases.addresses[:1], "a")
    waits = releases.enqueue_spec(spec)
    docker = (*BOTH, "--docker-socket", docker_socket)
    token = mint_token(new.url)
    at_old = new.stack.worker(
        "at-old", releases.addresses[0], tmp_path / "at-old", token, *docker, "--label", "at=c"
    )
    for at in ("a", "c"):
        releases.until(releases.enqueue(at), "SUCCEEDED")
    assert releases.state(waits) == "PENDING"
    new.end(at_old)
    new_server = new.server("server", releases.ports[1])
    old.end(old_server)
    old.stack.worker(
        "liar",
        releases.addresses[1],
        tmp_path / "liar",
        mint_token(new.url),
        "--label",
        "hodei/executor=docker",
        "--label",
        "at=b",
    )
    releases.until(releases.enqueue("b"), "SUCCEEDED")
    assert "labels that begin with hodei/ are given by servers" in new_server.log.read_text()
    assert releases.state(waits) == "PENDING"
    told = new.run("job", "get", waits, server=releases.addresses[1]).text
    assert "hodei/executor=docker" in told
    new.stack.worker(
        "new",
        releases.addresses[1],
        tmp_path / "new",
        mint_token(new.url),
        *docker,
    )
    releases.until(waits, "SUCCEEDED")
    assert not on_host.exists()
