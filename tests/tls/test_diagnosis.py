"""What is found where gRPC finds no server: real servers of gRPC, of each kind that is wrong."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest

from hodei.local.embedded_postgres import free_port
from hodei.tls.address import Address
from hodei.tls.caller import Tls, open_channel
from hodei.tls.diagnosis import REFUSED, diagnose, is_named, why
from hodei.tls.grpc_words import is_refused, was_not_sent, without_grpc
from tests.tls.certificates import Ca, Files


@contextmanager
def server(files: Files | None, client_ca: Path | None = None) -> Iterator[int]:
    """A server of gRPC that has no services; its port."""
    with ThreadPoolExecutor(1) as pool:
        running = grpc.server(pool)
        if files:
            cas = client_ca.read_bytes() if client_ca else None
            credentials = grpc.ssl_server_credentials([files.contents], cas, cas is not None)
            port = running.add_secure_port("localhost:0", credentials)
        else:
            port = running.add_insecure_port("localhost:0")
        running.start()
        yield port
        running.stop(None).wait()


class Place(NamedTuple):
    """CAs, and servers by what is right or wrong with them."""

    ca: Ca
    other_ca: Ca
    ports: dict[str, int]

    def tls(self, **more: str) -> Tls:
        return Tls(ca=str(self.ca.file), **more)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("tls")
    ca, other = Ca(folder / "a"), Ca(folder / "b", "another CA")
    kinds = {
        "good": ca.make("good", "localhost", "127.0.0.1"),
        "plain": None,
        "other ca": other.make("good", "localhost"),
        "elsewhere": ca.make("elsewhere", "*.example.com", "192.0.2.7"),
        "nameless": ca.make("nameless"),
        "expired": ca.make("expired", "localhost", begins=-3, days=-1),
        "early": ca.make("early", "localhost", begins=1),
    }
    with ExitStack() as stack:
        ports = {kind: stack.enter_context(server(files)) for kind, files in kinds.items()}
        ports["mutual"] = stack.enter_context(server(kinds["good"], ca.file))
        yield Place(ca, other, ports)


def called(address: Address, tls: Tls) -> str:
    """gRPC's words for a call there; empty if a server has answered it."""
    with open_channel(grpc, address, tls, []) as channel:
        try:
            channel.unary_unary("/a/b")(b"", timeout=10)
        except grpc.RpcError as error:
            answered = error.code() == grpc.StatusCode.UNIMPLEMENTED
            return "" if answered else str(error.details())
    return ""


@pytest.mark.parametrize(
    ("kind", "host", "words"),
    [
        ("plain", "localhost", "it does not speak TLS: use http://localhost:{port} without --tls"),
        (
            "other ca",
            "localhost",
            "its certificate is of an unknown CA: expected one of the CAs in {ca} (--tls-ca)",
        ),
        (
            "elsewhere",
            "localhost",
            "its certificate is for *.example.com, 192.0.2.7, and not for localhost:"
            " use such an address, or --tls-name with one of these names",
        ),
        (
            "nameless",
            "127.0.0.1",
            "its certificate is for no host at all, and not for 127.0.0.1:"
            " use such an address, or --tls-name with one of these names",
        ),
        ("expired", "localhost", "its certificate has expired: it was valid until 2"),
        ("early", "localhost", "its certificate is valid only from 2"),
        (
            "mutual",
            "localhost",
            "it asks for a client certificate: use --tls-cert and --tls-key",
        ),
    ],
)
def test_each_reason_has_words_of_its_own(place: Place, kind: str, host: str, words: str) -> None:
    port = place.ports[kind]
    address, tls = Address(f"{host}:{port}", tls=True), place.tls()
    assert was_not_sent(called(address, tls)), "gRPC finds no server there"
    found = diagnose(address, tls)
    assert found.words.startswith(words.format(port=port, ca=place.ca.file)), found.words
    assert found.is_final


def test_what_is_right_is_found_right_and_gets_through(place: Place) -> None:
    own = place.ca.make("client")
    good = Address(f"localhost:{place.ports['good']}", tls=True)
    cases = [
        (good, place.tls()),
        (Address(f"127.0.0.1:{good.port}", tls=True), place.tls()),
        (
            Address(f"localhost:{place.ports['elsewhere']}", tls=True),
            place.tls(name="a.example.com"),
        ),
        (Address(f"localhost:{place.ports['elsewhere']}", tls=True), place.tls(name="192.0.2.7")),
        (
            Address(f"localhost:{place.ports['mutual']}", tls=True),
            place.tls(cert=own.cert, key=own.key),
        ),
        (Address(f"localhost:{place.ports['plain']}"), Tls()),
    ]
    for address, tls in cases:
        assert called(address, tls) == ""
        assert diagnose(address, tls).words == "", (address, tls)


def test_a_client_certificate_of_another_ca_is_named(place: Place) -> None:
    own = place.other_ca.make("client")
    address = Address(f"localhost:{place.ports['mutual']}", tls=True)
    tls = place.tls(cert=own.cert, key=own.key)
    assert was_not_sent(called(address, tls))
    assert (
        diagnose(address, tls).words == f"it does not accept the client certificate in {own.cert}"
    )


@pytest.mark.parametrize("kind", ["good", "mutual", "expired"])
def test_plain_text_to_a_server_with_tls_is_told(place: Place, kind: str) -> None:
    address = Address(f"localhost:{place.ports[kind]}")
    assert was_not_sent(called(address, Tls()))
    words = f"it expects TLS: use https://{address.target}, or --tls"
    assert diagnose(address, Tls()).words == words


def test_the_cas_of_the_system_are_named(place: Place) -> None:
    address = Address(f"localhost:{place.ports['good']}", tls=True)
    assert was_not_sent(called(address, Tls()))
    assert diagnose(address, Tls()).words == (
        "its certificate is of an unknown CA: expected one of the CAs of this system;"
        " --tls-ca FILE names others"
    )


def test_hosts_and_ports_without_a_server() -> None:
    nobody = Address(f"127.0.0.1:{free_port()}", tls=True)
    assert is_refused(called(nobody, Tls()), nobody.port)
    assert diagnose(nobody, Tls()).words == REFUSED
    unknown = Address("no-such-host.invalid:1")
    assert was_not_sent(called(unknown, Tls()))
    words = "no host has the name no-such-host.invalid"
    assert diagnose(unknown, Tls()).words == words
    assert why(unknown, Tls(), called(unknown, Tls())).words == words
    assert why(nobody, Tls(), called(nobody, Tls())).words == REFUSED
    assert diagnose(Address("x" * 300 + ":1"), Tls()).words.startswith("no host has the name x")
    with closing(socket.create_server(("127.0.0.1", 0))) as silent:
        silent.listen()
        address = Address(f"127.0.0.1:{silent.getsockname()[1]}", tls=True)
        assert diagnose(address, Tls(), 0.1).words == "it does not answer a TLS handshake"


def test_a_proxy_of_the_environment_is_named(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """gRPC goes through it, also to this host."""
    good, tls = Address(f"localhost:{place.ports['good']}", tls=True), place.tls()
    proxy = free_port()
    monkeypatch.setenv("https_proxy", f"http://user:secret@127.0.0.1:{proxy}")
    words = called(good, tls)
    assert was_not_sent(words)
    assert not is_refused(words, good.port)
    assert diagnose(good, tls).words == (
        "a direct connection is possible, but gRPC goes through the proxy of https_proxy:"
        " no_proxy=localhost avoids that"
    )
    monkeypatch.setenv("no_proxy", "a.example, localhost")
    assert called(good, tls) == ""
    assert diagnose(good, tls).words == ""


def test_names_of_certificates() -> None:
    assert is_named("A.example.com", ["*.example.com"])
    assert not is_named("a.b.example.com", ["*.example.com"])
    assert not is_named("example.com", ["*.example.com"])
    assert is_named("::1", ["0:0:0:0:0:0:0:1"])
    assert not is_named("192.0.2.7", ["192.0.2.8", "192.0.2.7.example"])


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("failed to connect to all addresses; last error: UNKNOWN: x", "no server answers"),
        ("Socket closed", "the connection to the server broke off"),
        ("recvmsg:Connection reset by peer", "the connection to the server broke off"),
        ("Received http2 header with status: 502", "a proxy before the server answered HTTP 502"),
        ("Deadline Exceeded", "the server did not answer in time"),
        ("the database does not answer", "the database does not answer"),
    ],
)
def test_words_of_grpc_are_replaced(theirs: str, ours: str) -> None:
    assert without_grpc(theirs) == ours
