"""An engine that is away, that comes back, and that is restarted under running jobs."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.docker import tiny_image
from tests.docker.engines import OwnEngine, can_be_started
from tests.docker.workers import DockerWorker
from tests.eventually import eventually
from tests.running import Hodei, start

COUNT = "n=0; while [ $n -lt 100 ]; do n=$((n+1)); echo line $n; sleep 0.1; done"
LINES = "".join(f"line {n}\n" for n in range(1, 101))


@pytest.fixture
def hodei(pg_server: SimpleNamespace, tmp_path: Path) -> Iterator[Hodei]:
    running = start(pg_server, tmp_path, servers=1)
    yield running
    running.stack.stop()
    running.conn.close()


def test_a_worker_without_an_engine_runs_processes(
    hodei: Hodei, tmp_path: Path, docker_socket: str
) -> None:
    here = tmp_path / "sock"
    worker = DockerWorker.on(hodei, tmp_path / "w", str(here))
    worker.up(hodei.token())
    try:
        assert f"no container jobs: no Docker Engine answers at {here}: there is no" in worker.log
        assert worker.process_job("echo plain").text == "plain\n"
        waits = worker.submit("echo contained")
        told = hodei.ok("job", "get", waits).text
        assert "lacks hodei/executor=docker" in told
        here.symlink_to(docker_socket)
        assert worker.ended(waits).text == "contained\n"
        assert "container jobs are taken again" in worker.log
    finally:
        worker.socket = docker_socket
        worker.stop()


@pytest.fixture(params=["live-restore", "plain"])
def engine(request: pytest.FixtureRequest) -> Iterator[OwnEngine]:
    if reason := can_be_started():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="hodei-"))  # its sockets' paths must be short
    flags = ["--live-restore"] if request.param == "live-restore" else []
    own = OwnEngine(folder, *flags)
    try:
        own.up()
        tiny_image.build(own.socket)
        yield own
    finally:
        own.end()
        shutil.rmtree(folder, ignore_errors=True)


def test_an_engine_that_is_restarted(
    hodei: Hodei, tmp_path: Path, engine: OwnEngine, request: pytest.FixtureRequest
) -> None:
    """With live-restore the container goes on, and its log is whole. Otherwise the engine ends it,
    and the job runs again."""
    worker = DockerWorker.on(hodei, tmp_path / "w", engine.socket)
    worker.up(hodei.token())
    try:
        job_id = worker.submit(COUNT)
        worker.wrote(job_id, "line 5\n")
        engine.down()
        engine.up()
        if "live-restore" in request.node.name:
            ended = worker.ended(job_id)
            assert (ended.state, ended.attempts, ended.text) == ("SUCCEEDED", 1, LINES), ended
        else:
            hodei.back_off_ends(job_id)
            ended = worker.ended(job_id)
            assert (ended.state, ended.attempts) == ("SUCCEEDED", 2), ended
            assert ended.text.endswith(LINES)
        eventually(lambda: worker.containers("-a") == [])
    finally:
        worker.stop()
