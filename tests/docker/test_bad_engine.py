"""An engine that breaks off, floods and answers with what is no answer; and names that are taken."""

import asyncio
import json
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from hodei_worker.containers import pulls, reference
from hodei_worker.containers.engine import Engine
from hodei_worker.containers.pulls import PullFailed, Pulls
from hodei_worker.containers.tasks import Tasks
from tests.docker.engine_proxy import EngineProxy, chunked
from tests.docker.tiny_image import NAME as IMAGE
from tests.docker.workers import DockerWorker, docker
from tests.eventually import eventually
from tests.running import start


@pytest.fixture(scope="module")
def proxy(docker_socket: str) -> Iterator[EngineProxy]:
    with (
        tempfile.TemporaryDirectory(prefix="hodei-") as folder,
        EngineProxy(Path(folder, "sock"), docker_socket).serving() as one,
    ):
        yield one


@pytest.fixture(scope="module")
def worker(
    pg_server: SimpleNamespace,
    tmp_path_factory: pytest.TempPathFactory,
    docker_socket: str,
    proxy: EngineProxy,
) -> Iterator[DockerWorker]:
    folder = tmp_path_factory.mktemp("engine")
    hodei = start(pg_server, folder, servers=1)
    one = DockerWorker.on(hodei, folder / "w", proxy.path)
    one.up(hodei.token())
    yield one
    one.socket = docker_socket
    one.stop()
    hodei.stack.stop()
    hodei.conn.close()


def test_a_log_that_breaks_off_inside_a_frame(worker: DockerWorker, proxy: EngineProxy) -> None:
    """Whatever the byte, also in a frame's head: nothing is missing, and nothing comes twice."""
    before = proxy.cut
    proxy.cut_logs_after(1, 5, 20, 60, 200, 700, 701, 3000, 3001, 9000, 20_000)
    command = (
        "n=0; while [ $n -lt 1500 ]; do n=$((n+1)); echo line $n; echo err $n >&2;"
        " [ $((n%300)) = 0 ] && sleep 0.3; done"
    )
    job_id = worker.submit(command)
    ended = worker.ended(job_id)
    assert (ended.state, ended.complete) == ("SUCCEEDED", True), ended
    for stream, word in ((1, "line"), (2, "err")):
        assert worker.text(job_id, stream) == "".join(f"{word} {n}\n" for n in range(1, 1501))
    assert proxy.cut - before == 11


def progress(lines: int) -> Iterator[bytes]:
    for n in range(0, lines, 1000):
        said = [
            json.dumps(
                {"id": f"layer{at % 5000}", "progressDetail": {"current": at, "total": lines}}
            )
            for at in range(n, n + 1000)
        ]
        yield "\r\n".join(said).encode() + b"\r\n"


def memory_bytes(pid: int) -> int:
    line = next(
        one for one in Path(f"/proc/{pid}/status").read_text().splitlines() if "VmHWM" in one
    )
    return int(line.split()[1]) << 10


def test_a_pull_with_a_million_lines_of_progress(worker: DockerWorker, proxy: EngineProxy) -> None:
    (pid,) = worker.container_pids()
    before, begun = memory_bytes(pid), time.monotonic()
    flood = proxy.answering("/images/create", lambda one: chunked(one, progress(1_000_000)))
    with flood:
        job_id = worker.submit("echo pulled", pull="always")
        ended = worker.ended(job_id, 120)
    notices = ended.text.count("[pulling")
    assert ended.text.endswith("pulled\n"), ended
    assert notices <= 2 + (time.monotonic() - begun) / 5
    assert memory_bytes(pid) - before < 20 << 20


def answer_with(status: str, content: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Length: {len(content)}\r\nConnection: close\r\n\r\n"
    return head.encode() + content


def test_what_the_engine_has_refused_to_create_is_not_removed(
    worker: DockerWorker, proxy: EngineProxy
) -> None:
    """The removal of what may still come goes on for 26 s, and a worker that is restarted with other
    settings waits for it."""
    before = len(proxy.asked)

    def refuse(client: socket.socket) -> None:
        client.sendall(answer_with("400 Bad Request", b'{"message": "no such folder"}'))

    with proxy.answering("POST .*/containers/create", refuse):
        ended = worker.finish("x")
    assert (ended.reason, ended.message) == ("START_FAILED", "no such folder"), ended
    assert worker.finish("echo on").text == "on\n"

    def removed() -> set[str]:
        return {one for one in proxy.asked[before:] if one.startswith("DELETE")}

    eventually(removed)
    assert len(removed()) == 1, removed()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"odd", "the Docker Engine's answer to GET /images/"),
        (b'"\x1b[2J"', "the Docker Engine's answer to GET /images/"),
        (b"x" * (9 << 20), "the Docker Engine's answer is longer than 8388608 bytes"),
        (b'{"Config": 7}', "the Docker Engine does not describe docker.io/hodei-test/tiny:local"),
    ],
)
def test_an_answer_that_is_none(
    worker: DockerWorker, proxy: EngineProxy, said: bytes, words: str
) -> None:
    def answer(client: socket.socket) -> None:
        client.sendall(answer_with("200 OK", said))

    with proxy.answering("GET .*/images/.*/json", answer):
        ended = worker.finish("x", pull="missing")
    assert (ended.state, ended.reason) == ("FAILED", "START_FAILED"), ended
    assert ended.message.startswith(words)
    assert "\x1b" not in ended.message
    assert worker.finish("echo on").text == "on\n"


def test_a_name_that_somebody_else_has_taken(worker: DockerWorker) -> None:
    """The job says so, and that container stays."""
    ((cluster,),) = worker.hodei.sql("SELECT cluster_id::text FROM hodei_schema")
    ((last,),) = worker.hodei.sql("SELECT last_value FROM hodei_lease_seq")
    name = f"hodei-job-{last + 1}-{cluster[:8]}"
    docker("create", "--name", name, IMAGE, "true")
    try:
        ended = worker.finish("echo contained")
        assert (ended.state, ended.reason) == ("FAILED", "START_FAILED"), ended
        assert f'The container name "/{name}" is already in use' in ended.message
        assert worker.finish("echo contained").text == "contained\n"
        eventually(lambda: worker.containers("-a") == [])
        assert docker("ps", "-aq", "--filter", f"name={name}").split()
    finally:
        docker("rm", "-f", name)


def test_a_log_that_cannot_be_read(worker: DockerWorker, proxy: EngineProxy) -> None:
    """The job ends for that reason, and its container with it."""
    words = b'{"message": "configured logging driver does not support reading"}'

    def refuse(client: socket.socket) -> None:
        client.sendall(answer_with("500 Internal Server Error", words))

    with proxy.answering("GET .*/logs", refuse):
        ended = worker.finish("sleep 600")
    assert (ended.state, ended.reason, ended.complete) == ("FAILED", "INTERNAL", False), ended
    why = "its log cannot be read: configured logging driver does not support reading"
    assert ended.message.startswith(why)
    eventually(lambda: worker.containers("-a") == [])


def test_a_pull_that_says_nothing(
    proxy: EngineProxy, docker_socket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has failed after two minutes without a byte; here after less."""
    monkeypatch.setattr(pulls, "SILENT_S", 0.5)

    def nothing(client: socket.socket) -> None:
        client.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.recv(1)  # until the other side gives up

    async def pull() -> None:
        engine = Engine(proxy.path)
        engine.open()
        try:
            async with asyncio.TaskGroup() as group:
                one = Pulls(engine, "", Tasks(group))
                await one.pull(reference.read("busybox"), "", "", print)
        finally:
            await engine.close()

    with proxy.answering("/images/create", nothing), pytest.raises(ExceptionGroup) as raised:
        asyncio.run(pull())
    (error,) = raised.value.exceptions
    assert isinstance(error, PullFailed)
    assert str(error) == "nothing came for 0.5 s"
