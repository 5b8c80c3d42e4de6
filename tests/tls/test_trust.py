"""Whom callers and servers trust: CAs of the system, several in one file, intermediate ones, and those
of clients, which are replaced."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from hodei.tls.address import Address
from hodei.tls.caller import Tls, open_channel
from hodei.tls.served import ServedPair
from tests.tls.certificates import Ca, Files


@contextmanager
def serving(files: Files, client_ca: Path | None = None) -> Iterator[Address]:
    """A server of gRPC without services."""
    with ThreadPoolExecutor(1) as pool:
        running = grpc.server(pool)
        credentials = ServedPair(*files).credentials(str(client_ca) if client_ca else None)
        port = running.add_secure_port("127.0.0.1:0", credentials)
        running.start()
        yield Address(f"127.0.0.1:{port}", tls=True)
        running.stop(None).wait()


def is_answered(address: Address, tls: Tls) -> bool:
    alone = [("grpc.use_local_subchannel_pool", 1)]
    with open_channel(grpc, address, tls, alone) as channel, pytest.raises(grpc.RpcError) as no:
        channel.unary_unary("/a/b")(b"", timeout=10)
    return no.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_the_cas_of_the_system_are_trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ca = Ca(tmp_path / "ca")
    with serving(ca.make("s", "127.0.0.1")) as address:
        assert not is_answered(address, Tls())
        monkeypatch.setenv("SSL_CERT_FILE", str(ca.file))
        assert is_answered(address, Tls())


def test_a_file_may_have_the_old_ca_and_the_new_one(tmp_path: Path) -> None:
    cas = [Ca(tmp_path / name, name) for name in ("old", "new")]
    both = tmp_path / "both.pem"
    both.write_bytes(b"".join(ca.file.read_bytes() for ca in cas))
    for ca in cas:
        with serving(ca.make("s", "127.0.0.1")) as address:
            assert is_answered(address, Tls(ca=str(both)))


def test_certificates_of_intermediate_cas_are_served(tmp_path: Path) -> None:
    root = Ca(tmp_path / "root", "root")
    between = Ca(tmp_path / "between", "between", above=root)
    files = between.make("s", "127.0.0.1")
    with serving(files) as address:
        assert not is_answered(address, Tls(ca=str(root.file)))
    with Path(files.cert).open("ab") as file:
        file.write(between.file.read_bytes())
    with serving(files) as address:
        assert is_answered(address, Tls(ca=str(root.file)))


def test_cas_of_clients_are_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hodei.tls.served.LOOK_EVERY_S", 0.0)
    server, *cas = [Ca(tmp_path / name, name) for name in ("server", "old", "new")]
    file = tmp_path / "clients.pem"
    file.write_bytes(cas[0].file.read_bytes())
    callers = [Tls(str(server.file), None, *ca.make("client")) for ca in cas]
    with serving(server.make("s", "127.0.0.1"), file) as address:
        assert [is_answered(address, one) for one in callers] == [True, False]
        file.write_bytes(cas[1].file.read_bytes())
        assert [is_answered(address, one) for one in callers] == [False, True]
