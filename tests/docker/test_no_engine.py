"""A worker that reaches no engine when it starts, and one later."""

import dataclasses
import grp
import os
import shutil
import tempfile
from pathlib import Path

from tests.docker.engine_proxy import EngineProxy
from tests.docker.workers import BOTH, DockerWorker
from tests.hosts import make
from tests.running import Hodei


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


def test_a_worker_that_may_not_use_the_socket(hodei: Hodei, docker_socket: str) -> None:
    """Its log names the group that may."""
    folder = Path(tempfile.mkdtemp(prefix="hodei-"))
    folder.chmod(0o755)
    group = grp.getgrnam("tty")
    try:
        with EngineProxy(folder / "sock", docker_socket).serving() as proxy:
            os.chown(proxy.path, 0, group.gr_gid)
            Path(proxy.path).chmod(0o660)
            flags = (*BOTH, "--docker-socket", proxy.path)
            one = make(hodei, folder, "ordinary", "w", *flags)
            fields = {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}
            worker = DockerWorker(**fields, socket=docker_socket)
            worker.up(hodei.token())
            try:
                words = (
                    f"no container jobs: no Docker Engine answers at {proxy.path}: no permission;"
                )
                assert words in worker.log
                assert "and group 'tty' may use the socket" in worker.log
                assert worker.process_job("echo plain").text == "plain\n"
                Path(proxy.path).chmod(0o666)
                assert worker.finish("echo contained").text == "contained\n"
            finally:
                worker.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
