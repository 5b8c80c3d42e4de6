"""Where a server may listen, and with what."""

from typing import Any

import pytest

from hodei.config import Listener, Settings, listener
from hodei.domain.errors import Invalid
from hodei.tls.address import is_loopback


def settings(*listeners: str, **more: Any) -> Settings:
    url = "postgres://x"
    return Settings(url, url, tuple(map(listener, listeners)), **more)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("127.0.0.1:0", Listener("127.0.0.1:0")),
        ("[::1]:50051", Listener("[::1]:50051")),
        ("0.0.0.0:65535,client-ca=/a b=c", Listener("0.0.0.0:65535", "/a b=c")),
    ],
)
def test_an_address_is_read(text: str, found: Listener) -> None:
    assert listener(text) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "--grpc: expected HOST:PORT, got ''"),
        (":1", "expected HOST:PORT"),
        ("nowhere", "expected HOST:PORT"),
        ("host:65536", "expected HOST:PORT"),
        ("host:²", "expected HOST:PORT"),
        ("ho\0st:1", "expected HOST:PORT"),
        ("host:1,ca=x", "--grpc host:1: expected client-ca=FILE behind it, got 'ca=x'"),
        ("host:1,client-ca=", "expected client-ca=FILE"),
        ("host:1,client-ca=a,client-ca=b", "expected client-ca=FILE"),
    ],
)
def test_what_is_none_is_refused(text: str, words: str) -> None:
    with pytest.raises(Invalid, match=f"^.*{words}"):
        listener(text)


@pytest.mark.parametrize(
    ("given", "more", "words"),
    [
        (["0.0.0.0:1"], {}, "--grpc 0.0.0.0:1: beyond loopback the connection needs TLS; add"),
        (["127.0.0.1:1", "[::]:1"], {}, r"--grpc \[::\]:1: beyond loopback"),
        (["localhost.example:1"], {}, "beyond loopback"),
        (["127.0.0.1.example:1"], {}, "beyond loopback"),
        (["127.0.0.1:1,client-ca=x"], {}, "client-ca needs TLS; add --tls-cert and --tls-key"),
        (["0.0.0.0:1,client-ca=x"], {"insecure": True}, "client-ca needs TLS"),
        (["127.0.0.1:1"], {"tls_cert": "x"}, "expected both or none, got one"),
        (["127.0.0.1:1"], {"tls_key": "x"}, "expected both or none, got one"),
        ([], {}, "expected 1 to 16 of them, got 0"),
        (["127.0.0.1:1"] * 17, {}, "expected 1 to 16 of them, got 17"),
    ],
)
def test_what_would_not_be_safe_is_refused(
    given: list[str], more: dict[str, Any], words: str
) -> None:
    with pytest.raises(Invalid, match=words):
        settings(*given, **more)


def test_what_is_safe_is_taken() -> None:
    pair = {"tls_cert": "c", "tls_key": "k"}
    assert settings("0.0.0.0:1,client-ca=x", **pair).addresses == "0.0.0.0:1"
    assert settings("0.0.0.0:1", insecure=True).listeners[0].is_on_loopback is False
    both = settings("127.0.0.9:1", "[::1]:2", "localhost:3")
    assert both.addresses == "127.0.0.9:1, [::1]:2, localhost:3"
    assert all(one.is_on_loopback for one in both.listeners)


def test_only_what_is_surely_loopback_counts_as_it() -> None:
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.255.0.1", "::1", "[::1]")))
    others = ("0.0.0.0", "::", "10.0.0.1", "localhost.", "127.1", "127.0.0.1.example", "", "a")
    assert not any(map(is_loopback, others))
