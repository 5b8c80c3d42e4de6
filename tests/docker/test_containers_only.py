"""A worker with `--executor docker` alone."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.docker.workers import BOTH, DockerWorker
from tests.eventually import eventually
from tests.running import Hodei, new_database
from tests.upgrade.releases import Both, both
from tests.worker_process import supervisors

ONLY = ("--executor", "docker")


def only_containers(worker: DockerWorker) -> DockerWorker:
    worker.flags = (*ONLY, *worker.flags[len(BOTH) :])
    return worker


def test_it_gets_no_plain_process(hodei: Hodei, tmp_path: Path, docker_socket: str) -> None:
    """Such a job waits, and says why, while container jobs behind it run. A worker that was started
    with other flags goes on with the processes that it has."""
    worker = DockerWorker.on(hodei, tmp_path / "w", docker_socket)
    worker.up(hodei.token())
    try:
        go = tmp_path / "go"
        runs = worker.submit_process(f"echo up; until [ -e {go} ]; do sleep 0.05; done")
        worker.wrote(runs, "up")
        worker.end()
        only_containers(worker).up()
        waits = worker.submit_process("echo plain")
        contained = worker.finish("echo contained")
        assert (contained.state, contained.text) == ("SUCCEEDED", "contained\n")
        for command in (("list",), ("get", worker.owner)):
            assert "containers only" in hodei.ok("worker", *command).text
        assert hodei.job(waits)["state"] == "PENDING"
        told = hodei.ok("job", "get", waits).text
        assert "a worker that runs plain processes" in " ".join(told.split())
        assert "runs only containers" in " ".join(told.split())
        assert "1 unservable" in hodei.ok("status").text
        go.touch()
        assert worker.ended(runs).state == "SUCCEEDED"
        eventually(lambda: supervisors(worker.state) == [])
        assert worker.finish("echo again").text == "again\n"
        worker.end()
        worker.flags = (*BOTH, *worker.flags[len(ONLY) :])
        worker.up()
        assert worker.ended(waits).text == "plain\n"
    finally:
        worker.stop()


@pytest.fixture
def releases(pg_server: SimpleNamespace, tmp_path: Path) -> Iterator[Both]:
    made = both(new_database(pg_server), tmp_path)
    yield made
    made.new.stack.stop()
    made.old.stack.stop()
    made.conn.close()


def test_it_leaves_a_server_of_the_release_before(
    releases: Both, tmp_path: Path, docker_socket: str
) -> None:
    """That server would give it plain processes: none is started, and none counts an attempt."""
    releases.new.db("apply")
    releases.old.server("old", releases.ports[0])
    new = releases.new.server("new", releases.ports[1])
    plain = releases.enqueue_spec({"command": "echo plain"})
    hodei = Hodei(releases.new.stack, releases.new.url, tmp_path, releases.addresses, releases.conn)
    worker = only_containers(DockerWorker.on(hodei, tmp_path / "w", docker_socket))
    worker.up(hodei.token())
    try:
        releases.new.end(new)
        words = f"stream to {releases.addresses[0]} ended: it is of an older release, which gives"
        eventually(lambda: words in worker.log)
        releases.new.server("new-again", releases.ports[1])
        assert worker.finish("echo contained").text == "contained\n"
        assert worker.attempts(plain) == ("PENDING", 0)
    finally:
        worker.stop()
