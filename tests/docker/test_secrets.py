"""Secrets of container jobs: given, masked, and not written by a process that goes on without them."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.docker.registry import PASSWORD, USER, serving
from tests.docker.workers import DockerWorker
from tests.eventually import eventually
from tests.running import Hodei, start

VALUE = "Tr0ub4dor&3/correct horse"
ENV = {"TOKEN": {"secret": "token"}}


@pytest.fixture(scope="module")
def worker(
    pg_server: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory, docker_socket: str
) -> Iterator[DockerWorker]:
    folder = tmp_path_factory.mktemp("docker-secrets")
    key = folder / "key"
    key.write_text("0f" * 32)
    hodei = start(pg_server, folder, servers=0)
    flags = ("--secret-key-file", str(key))
    hodei.addresses.append(hodei.stack.server("server-0", hodei.url, 0, *flags))
    one = DockerWorker.on(hodei, folder / "w", docker_socket)
    one.up(hodei.token())
    hodei.ok("secret", "set", "token", stdin=VALUE.encode())
    yield one
    one.stop()
    hodei.stack.stop()
    hodei.conn.close()


def log_of(hodei: Hodei, job_id: str) -> bytes:
    asked = "SELECT data FROM job_logs WHERE job_id = %s AND stream < 3 ORDER BY lease, seq"
    return b"".join(data for (data,) in hodei.sql(asked, job_id))


def test_a_container_has_the_value_and_its_log_has_none(worker: DockerWorker) -> None:
    command = 'printf %s "$TOKEN" | wc -c; echo "$TOKEN; $TOKEN" >&2'
    ended = worker.finish(command, env=ENV)
    assert ended.state == "SUCCEEDED", ended
    text = ended.text
    assert str(len(VALUE)) in text.split(), "the order of the streams is not known"
    assert "***; ***" in text
    assert VALUE not in text


def test_a_secret_is_the_login_of_a_registry(worker: DockerWorker) -> None:
    hodei = worker.hodei
    hodei.ok("secret", "set", "registry", stdin=f"{USER}:{PASSWORD}".encode())
    hodei.ok("secret", "set", "wrong", stdin=f"{USER}:not-the-password".encode())
    hodei.ok("secret", "set", "no-login", stdin=b"nocolon-at-all")
    with serving() as registry:
        image = f"{registry.name}/private/tool:1"
        refused = worker.finish("x", image=image, registry_secret="wrong")
        assert refused.reason == "IMAGE_PULL_FAILED", refused
        assert "not-the-password" not in refused.message
        odd = worker.finish("x", image=image, registry_secret="no-login")
        assert "expected USER:PASSWORD, got no colon" in odd.message
        ended = worker.finish("echo pulled", image=image, registry_secret="registry")
        assert ended.state == "SUCCEEDED", ended
    for path in (worker.log_file, worker.state / "containers/supervisor.log"):
        assert PASSWORD not in path.read_text()


PRINTS = """
i=0
while [ $i -lt 400 ]; do
    i=$((i + 1))
    printf 'line %s <%s' $i "${TOKEN%horse}"
    printf 'horse>\\n'
    [ $((i % 20)) -eq 0 ] && sleep 0.5
done
"""


@pytest.fixture
def token(worker: DockerWorker) -> Iterator[None]:
    """The secret may be set to another value."""
    yield
    worker.hodei.ok("secret", "set", "token", stdin=VALUE.encode())


@pytest.mark.usefixtures("token")
def test_processes_that_are_killed_each_second_keep_no_value_and_lose_nothing(
    worker: DockerWorker,
) -> None:
    """By turns the agent, the process for containers, and both: each goes on with the container, and
    none writes a byte before it has the values of that attempt, which were replaced meanwhile."""
    hodei = worker.hodei
    job_id = worker.submit(PRINTS, env=ENV)
    worker.wrote(job_id, "line 1 ")
    hodei.ok("secret", "set", "token", stdin=b"another-value-by-now")
    hodei.ok("secret", "set", "token", stdin=VALUE.encode())
    for turn in range(6):
        if turn % 3 != 0:
            worker.kill_containers_process()
        if turn % 3 != 1:
            assert worker.process
            worker.process.send_signal(signal.SIGKILL)
            worker.process.wait()
            worker.up()
        eventually(worker.container_pids)
        lines = len(log_of(hodei, job_id).splitlines())
        eventually(
            lambda lines=lines: (
                len(log_of(hodei, job_id).splitlines()) > lines  # type: ignore[misc]
                or hodei.sql("SELECT FROM jobs WHERE id = %s AND completed_at IS NOT NULL", job_id)
            ),
            90,
        )
    ended = worker.ended(job_id)
    assert ended.state == "SUCCEEDED", ended
    expected = "".join(f"line {n} <***>\n" for n in range(1, 401))
    assert log_of(hodei, job_id).decode() == expected
    spool = b"".join(path.read_bytes() for path in worker.state.rglob("*") if path.is_file())
    assert VALUE.encode() not in spool


def test_without_a_value_not_a_byte_is_read(worker: DockerWorker, tmp_path: Path) -> None:
    """The process for containers dies while the server that has the key is stopped: its successor
    waits, and the container runs."""
    hodei = worker.hodei
    job_id = worker.submit(PRINTS.replace("400", "60"), env=ENV)
    worker.wrote(job_id, "line 1 ")
    (server,) = [part for part in hodei.stack.parts if part.name == "server-0"]
    os.kill(server.process.pid, signal.SIGSTOP)
    assert worker.process
    worker.process.send_signal(signal.SIGKILL)
    worker.process.wait()
    worker.kill_containers_process()
    before = log_of(hodei, job_id)
    os.kill(server.process.pid, signal.SIGCONT)
    worker.up()
    assert worker.ended(job_id).state == "SUCCEEDED"
    log = log_of(hodei, job_id).decode()
    assert log.startswith(before.decode())
    assert log == "".join(f"line {n} <***>\n" for n in range(1, 61))
