"""An engine whose disk is nearly full, and full."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.docker import tiny_image
from tests.docker.engines import OwnEngine, can_be_started
from tests.docker.registry import serving
from tests.docker.workers import DockerWorker
from tests.eventually import eventually
from tests.running import start

DISK_BYTES = 200 << 20


class SmallDisk:
    def __init__(self, root: Path) -> None:
        self._root = root
        self._filling = root / "filling"

    def leave_free(self, share: float) -> None:
        """Fills it, or frees some, until this share of it is free."""
        self._filling.touch()
        disk = os.statvfs(self._root)
        free = disk.f_bavail * disk.f_frsize
        size = self._filling.stat().st_size + free - int(share * disk.f_blocks * disk.f_frsize)
        os.truncate(self._filling, 0)
        with self._filling.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, size)


@pytest.fixture
def engine() -> Iterator[OwnEngine]:
    if reason := can_be_started():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="hodei-"))  # its sockets' paths must be short
    (folder / "data").mkdir()
    size = f"size={DISK_BYTES}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder / "data"], check=True)
    own = OwnEngine(folder)
    try:
        own.up()
        tiny_image.build(own.socket)
        yield own
    finally:
        own.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def worker(pg_server: SimpleNamespace, tmp_path: Path, engine: OwnEngine) -> Iterator[DockerWorker]:
    hodei = start(pg_server, tmp_path, servers=1)
    one = DockerWorker.on(hodei, tmp_path / "w", engine.socket)
    one.up(hodei.token())
    yield one
    one.stop()
    hodei.stack.stop()
    hodei.conn.close()


@pytest.fixture
def disk(engine: OwnEngine) -> SmallDisk:
    return SmallDisk(Path(engine.docker("info", "--format", "{{.DockerRootDir}}").stdout.strip()))


def test_below_five_percent_free_a_worker_takes_no_container_job(
    worker: DockerWorker, disk: SmallDisk
) -> None:
    """Those that run go on, processes too, and the worker takes jobs again at six percent."""
    runs = worker.submit("echo up; until [ -e /tmp/go ]; do sleep 0.05; done; echo down")
    worker.wrote(runs, "up")
    (container,) = worker.containers()
    disk.leave_free(0.03)
    eventually(lambda: "% of its disk free: expected at least 5%" in worker.log)
    eventually(lambda: not worker.takes_containers)
    waits = worker.submit("echo contained")
    assert worker.process_job("echo plain").text == "plain\n"
    told = " ".join(worker.hodei.ok("job", "get", waits).text.split())
    assert "lacks hodei/executor=docker" in told
    disk.leave_free(0.055)
    eventually(lambda: "5.5% of its disk free: expected at least 6%" in worker.log)
    worker.docker("exec", container, "touch", "/tmp/go")
    assert worker.ended(runs).text == "up\ndown\n"
    assert worker.attempts(waits) == ("PENDING", 0)
    disk.leave_free(0.2)
    assert worker.ended(waits).text == "contained\n"


def test_a_disk_that_fills_while_an_image_is_pulled(
    worker: DockerWorker, disk: SmallDisk, engine: OwnEngine
) -> None:
    with serving(padding=30 << 20, engine=engine) as registry:
        disk.leave_free(0.1)
        ended = worker.finish("x", image=f"{registry.name}/large/tool:1")
        assert (ended.state, ended.reason) == ("FAILED", "IMAGE_PULL_FAILED"), ended
        assert "no space left on device" in ended.message
        assert worker.finish("echo contained").text == "contained\n"
        disk.leave_free(0.6)
        ended = worker.finish("echo pulled", image=f"{registry.name}/large/tool:1")
        assert ended.text.endswith("pulled\n"), ended
