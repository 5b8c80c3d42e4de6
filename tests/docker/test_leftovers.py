"""Containers of workers that are gone for ever are removed by other workers of the cluster on the
same engine; nobody else's are ever touched."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from hodei.local import own_python
from tests.docker.tiny_image import NAME as IMAGE
from tests.docker.workers import DockerWorker, docker
from tests.eventually import eventually
from tests.running import Hodei, start

EAGER = """
from hodei.domain import timing
timing.HEARTBEAT_S = 1.0
"""
"""Workers of this server send heartbeats each second, instead of each 10 s."""


@pytest.fixture
def hodei(pg_server: SimpleNamespace, tmp_path: Path) -> Iterator[Hodei]:
    (tmp_path / "sitecustomize.py").write_text(EAGER)
    running = start(pg_server, tmp_path, servers=0)
    path = f"{tmp_path}:{own_python.environment()['PYTHONPATH']}"
    eager = running.stack.server("eager", running.url, environment={"PYTHONPATH": path})
    running.addresses.append(eager)
    yield running
    running.stack.stop()
    running.conn.close()


@pytest.fixture
def worker(hodei: Hodei, tmp_path: Path, docker_socket: str) -> Iterator[DockerWorker]:
    one = DockerWorker.on(hodei, tmp_path / "stays", docker_socket)
    one.up(hodei.token())
    yield one
    one.stop()


def heard_twice(worker: DockerWorker) -> None:
    """Until the server has two more heartbeats of it: leftovers go with each."""
    asked = "SELECT last_heartbeat FROM workers WHERE id = %s"
    for _ in range(2):
        before = worker.hodei.sql(asked, worker.owner)
        eventually(lambda seen=before: worker.hodei.sql(asked, worker.owner) != seen)  # type: ignore[misc]


def test_a_worker_that_is_gone(hodei: Hodei, tmp_path: Path, docker_socket: str) -> None:
    """While servers know it, its container is its own, also when it does not run."""
    gone = DockerWorker.on(hodei, tmp_path / "gone", docker_socket)
    gone.up(hodei.token())
    worker = DockerWorker.on(hodei, tmp_path / "stays", docker_socket)
    try:
        job_id = gone.submit("echo up; sleep 600")
        gone.wrote(job_id, "up")
        worker.up(hodei.token())
        gone.kill()
        gone.kill_containers_process()
        heard_twice(worker)
        assert len(gone.containers()) == 1
        gone.fall_silent()
        eventually(lambda: gone.containers("-a") == [])
        assert "removing the container of lease" in worker.log
        assert gone.attempts(job_id) == ("PENDING", 1)
    finally:
        gone.stop()
        worker.stop()


def leftover(**labels: str) -> str:
    """A container with these labels, as a worker that nobody knows would have left it."""
    known = {"lease": "999999999", "job": str(uuid.uuid4()), "worker": str(uuid.uuid4())}
    flags = [f"--label=hodei.{name}={value}" for name, value in (known | labels).items()]
    return docker("create", *flags, IMAGE, "true").strip()


def there(container: str) -> bool:
    return bool(docker("ps", "-aq", "--no-trunc", "--filter", f"id={container}").split())


def test_after_the_database_was_cleaned(worker: DockerWorker) -> None:
    """Nothing is known there of jobs and workers of before. Of a copy of the database that is so
    too, and the original's containers carry its id: nothing is removed."""
    ((cluster,),) = worker.hodei.sql("SELECT cluster_id::text FROM hodei_schema")
    ours = leftover(cluster=cluster)
    others = [
        leftover(cluster=str(uuid.uuid4())),
        leftover(cluster=""),
        leftover(cluster=cluster, lease="0"),
        leftover(cluster=cluster, lease="1; x"),
        leftover(cluster=cluster, job="\x1b[2J"),
        leftover(cluster=cluster, worker="nobody"),
    ]
    try:
        worker.hodei.sql("UPDATE hodei_schema SET lives_in = '1/2'")
        worker.kill_containers_process()  # the next one looks at once
        eventually(worker.container_pids)
        assert worker.finish("echo on").text == "on\n"
        heard_twice(worker)
        assert there(ours)
        worker.hodei.sql("UPDATE hodei_schema SET lives_in = hodei_lives_in()")
        eventually(lambda: not there(ours))
        heard_twice(worker)
        assert [there(container) for container in others] == [True] * len(others)
        assert worker.finish("echo on").text == "on\n"
    finally:
        docker("rm", "-f", "-v", *(one for one in (ours, *others) if there(one)))
