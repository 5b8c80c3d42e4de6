"""An engine that goes, and that is restarted, under running jobs."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docker import tiny_image
from tests.docker.engines import OwnEngine, can_be_started
from tests.docker.registry import serving
from tests.docker.workers import DockerWorker
from tests.eventually import eventually, gone
from tests.running import Hodei

COUNT = "n=0; while [ $n -lt 100 ]; do n=$((n+1)); echo line $n; sleep 0.1; done"
LINES = "".join(f"line {n}\n" for n in range(1, 101))


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


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_an_engine_that_is_restarted(
    hodei: Hodei, tmp_path: Path, engine: OwnEngine, request: pytest.FixtureRequest, how: str
) -> None:
    """With live-restore the container goes on, and its log is whole. Otherwise the engine ends it,
    and the job runs again."""
    worker = DockerWorker.on(hodei, tmp_path / "w", engine.socket)
    worker.up(hodei.token())
    try:
        job_id = worker.submit(COUNT)
        worker.wrote(job_id, "line 5\n")
        if how == "killed":
            engine.kill()
        else:
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


def test_a_container_that_ends_while_the_engine_is_away(
    hodei: Hodei, tmp_path: Path, engine: OwnEngine
) -> None:
    """Its end is known, and the log says that its own end may be missing."""
    worker = DockerWorker.on(hodei, tmp_path / "w", engine.socket)
    worker.up(hodei.token())
    try:
        job_id = worker.submit("echo up; until [ -e /tmp/go ]; do sleep 0.05; done; echo down")
        worker.wrote(job_id, "up\n")
        (container,) = worker.containers()
        top = engine.docker("top", container, "-o", "pid").stdout.split()[1:]
        pid = int(top[0])  # of the init process
        engine.kill()
        Path(f"/proc/{pid}/root/tmp/go").touch()
        eventually(lambda: gone(pid))
        engine.up()
        ended = worker.ended(job_id)
        assert (ended.state, ended.attempts, ended.complete) == ("SUCCEEDED", 1, False), ended
        assert ended.text.startswith("up\n")
        assert "[the end of the log may be missing" in ended.text
        eventually(lambda: worker.containers("-a") == [])
    finally:
        worker.stop()


@pytest.mark.parametrize("engine", ["plain"], indirect=True)
def test_an_engine_that_goes_while_an_image_is_pulled(
    hodei: Hodei, tmp_path: Path, engine: OwnEngine
) -> None:
    """The attempt is lost, and the job runs again when an engine answers. (By then its registry is
    gone: the second attempt fails.)"""
    worker = DockerWorker.on(hodei, tmp_path / "w", engine.socket)
    worker.up(hodei.token())
    try:
        with serving(engine=engine) as registry:
            image = f"{registry.name}/slow/tool:1"
            job_id = worker.submit("echo contained", image=image)
            worker.wrote(job_id, "[pulling")
            eventually(lambda: any("/blobs/" in path for path in registry.asked))
            engine.kill()
            eventually(lambda: not worker.takes_containers)
            hodei.back_off_ends(job_id)
            engine.up()
        with serving(engine=engine) as registry:
            ended = worker.ended(job_id)
            assert (ended.state, ended.attempts) == ("FAILED", 2), ended
            assert ended.reason == "IMAGE_PULL_FAILED"
            image = f"{registry.name}/plain/tool:1"
            assert worker.finish("echo on", image=image).text.endswith("on\n")
    finally:
        worker.stop()
