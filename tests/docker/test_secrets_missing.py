"""A container job whose process for containers died, and whose values no server can decrypt any more:
nothing of its output is kept, and it ends in words."""

import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.docker.workers import DockerWorker
from tests.eventually import eventually
from tests.running import start

VALUE = "Tr0ub4dor&3/correct horse"

IMPATIENT = """
import sys
if "hodei_worker.containers" in sys.orig_argv:
    from hodei_worker.containers import masking
    masking.VALUES_WITHIN_S = 1.0
"""
"""Five minutes are one second for the worker's process for containers."""


@pytest.fixture
def worker(
    pg_server: SimpleNamespace, tmp_path: Path, docker_socket: str
) -> Iterator[DockerWorker]:
    """Beside one server that has the key."""
    (tmp_path / "key").write_text("0f" * 32)
    (tmp_path / "sitecustomize.py").write_text(IMPATIENT)
    hodei = start(pg_server, tmp_path, servers=0)
    flags = ("--secret-key-file", str(tmp_path / "key"))
    hodei.addresses.append(hodei.stack.server("with the key", hodei.url, 0, *flags))
    one = DockerWorker.on(hodei, tmp_path / "w", docker_socket)
    one.environment["PYTHONPATH"] = f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"
    one.up(hodei.token())
    hodei.ok("secret", "set", "token", stdin=VALUE.encode())
    yield one
    one.stop()
    hodei.stack.stop()
    hodei.conn.close()


def test_a_log_that_no_server_can_have_masked_is_not_kept(worker: DockerWorker) -> None:
    hodei = worker.hodei
    env = {"TOKEN": {"secret": "token"}}
    job_id = worker.submit('echo begun; while sleep 1; do echo "$TOKEN"; done', env=env)
    worker.wrote(job_id, "begun\n")
    assert worker.process
    worker.process.kill()
    worker.process.wait()
    worker.kill_containers_process()
    (container,) = worker.containers()
    (server,) = hodei.stack.parts
    hodei.stack.stop_part(server)
    hodei.stack.server("without it", hodei.url, int(hodei.addresses[0].rpartition(":")[2]))
    before = worker.wrote(job_id)
    worker.up()
    worker.docker("kill", container)
    ended = worker.ended(job_id)
    assert (ended.state, ended.reason, ended.attempts) == ("FAILED", "INTERNAL", 1)
    assert "its log cannot be read: the values of its secrets did not come" in ended.message
    assert "no server to which this worker connected could decrypt them" in ended.message
    assert ended.text == f"{before}[{ended.message}]\n"
    assert not ended.complete
    assert VALUE not in ended.text
    spool = b"".join(path.read_bytes() for path in worker.state.rglob("*") if path.is_file())
    assert VALUE.encode() not in spool
    eventually(lambda: not worker.containers("-a"), 30)
    assert worker.finish("echo on").text == "on\n"
