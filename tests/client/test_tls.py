"""A client for Python whose files for TLS are replaced: it goes on with the new ones."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from hodei.client import Invalid, Tls
from hodei.local.embedded_postgres import free_port
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.client.conftest import Make
from tests.tls.certificates import Ca

JOB = "00000000-0000-7000-8000-000000000001"


class Jobs(hodei_pb2_grpc.JobServiceServicer):
    def GetJob(self, request: pb.JobRef, context: grpc.ServicerContext) -> pb.Job:
        return pb.Job(job_id=request.job_id, state="RUNNING")


def serve(ca: Ca, port: int, pool: ThreadPoolExecutor) -> grpc.Server:
    """A server that asks for a certificate of the same CA."""
    own = ca.make("server", "localhost").contents
    credentials = grpc.ssl_server_credentials([own], ca.file.read_bytes(), True)
    server = grpc.server(pool, options=[("grpc.so_reuseport", 0)])
    hodei_pb2_grpc.add_JobServiceServicer_to_server(Jobs(), server)
    server.add_secure_port(f"localhost:{port}", credentials)
    server.start()
    return server


def test_replaced_files_are_used_when_a_server_comes_back(make: Make, tmp_path: Path) -> None:
    cas = [Ca(tmp_path / name) for name in ("old", "new")]
    place = tmp_path / "used"
    place.mkdir()

    def use(ca: Ca) -> None:
        own = ca.make("client")
        for name, content in (("ca", ca.file), ("cert", Path(own.cert)), ("key", Path(own.key))):
            (place / f"{name}.new").write_bytes(content.read_bytes())
            (place / f"{name}.new").replace(place / name)

    use(cas[0])
    tls = Tls(ca=str(place / "ca"), cert=str(place / "cert"), key=str(place / "key"))
    port = free_port()
    client = make(f"https://localhost:{port}", tls=tls, call_timeout=30)
    with ThreadPoolExecutor(2) as pool:
        first = serve(cas[0], port, pool)
        assert client.get(JOB).state == "RUNNING"
        first.stop(None).wait()
        use(cas[1])
        second = serve(cas[1], port, pool)
        assert client.get(JOB).state == "RUNNING"
        second.stop(None).wait()


def test_the_environment_says_what_a_program_does_not(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = Ca(tmp_path / "ca")
    own = ca.make("client")
    monkeypatch.setenv("HODEI_TLS", "1")
    monkeypatch.setenv("HODEI_TLS_CA", str(ca.file))
    monkeypatch.setenv("HODEI_TLS_CERT", own.cert)
    port = free_port()
    with pytest.raises(Invalid, match=r"tls\.cert and tls\.key: expected both or none, got one"):
        make(f"localhost:{port}")
    monkeypatch.setenv("HODEI_TLS_KEY", own.key)
    with ThreadPoolExecutor(2) as pool:
        server = serve(ca, port, pool)
        assert make(f"localhost:{port}").get(JOB).state == "RUNNING"
        server.stop(None).wait()
