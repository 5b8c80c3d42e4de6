"""Certificates and keys that a server is given, at its start and while it runs."""

import contextlib
import os
import random
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)
from loguru import logger

from hodei.tls.bad import BadTls
from hodei.tls.pair import checked_pair
from hodei.tls.served import ServedPair, Watched
from tests.tls.certificates import Ca, Files


@pytest.fixture
def ca(tmp_path: Path) -> Ca:
    return Ca(tmp_path / "ca")


@pytest.mark.parametrize(
    ("key", "words"),
    [
        (ec.generate_private_key(ec.SECP384R1()), ""),
        (rsa.generate_private_key(65537, 2048), ""),
        (rsa.generate_private_key(65537, 1024), "an RSA key of at least 2048 bits, got 1024"),
        (ed25519.Ed25519PrivateKey.generate(), "RSA, ECDSA P-256 or P-384, got Ed25519"),
        (ec.generate_private_key(ec.SECP521R1()), "RSA, ECDSA P-256 or P-384, got secp521r1"),
    ],
)
def test_kinds_of_keys_that_grpc_cannot_serve_are_refused(ca: Ca, key: Any, words: str) -> None:
    made = ca.make("s", "localhost", key=key)
    if not words:
        assert ServedPair(*made).credentials(None)
        return
    with pytest.raises(BadTls, match=f"^--tls-cert {made.cert}, --tls-key {made.key}: .*{words}"):
        ServedPair(*made)


def test_what_does_not_fit_is_refused(ca: Ca, tmp_path: Path) -> None:
    good, other = ca.make("s", "localhost"), ca.make("o", "localhost")
    expired = ca.make("e", "localhost", begins=-3, days=-1)
    empty, text, large = (tmp_path / name for name in ("empty", "text", "large"))
    empty.touch()
    text.write_text("-----BEGIN CERTIFICATE-----\nx")
    large.write_bytes(b"-----BEGIN " + bytes(1 << 21))
    locked, pipe = tmp_path / "locked", tmp_path / "pipe"
    os.mkfifo(pipe)
    key = load_pem_private_key(Path(good.key).read_bytes(), None)
    secret = BestAvailableEncryption(b"x")
    locked.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, secret))
    cases = (
        (Files(good.cert, other.key), "expected the key of the first certificate, got another one"),
        (expired, "the certificate has expired: it was valid until 2"),
        (Files(good.cert, str(locked)), "expected a key without a passphrase, got one with"),
        (Files(good.cert, good.cert), "expected a private key in PEM, got something else"),
        (Files(good.key, good.key), "expected certificates in PEM, got something else"),
        (Files(str(empty), good.key), "expected a file in PEM, got one without -----BEGIN"),
        (Files(str(text), good.key), "expected certificates in PEM"),
        (Files(str(large), good.key), "expected a file of at most 1048576 bytes, got more"),
        (Files(str(tmp_path), good.key), "Is a directory"),
        (Files(str(pipe), good.key), "expected a file, got something else"),
        (Files("/dev/zero", good.key), "expected a file, got something else"),
        (Files("/no\0", good.key), "embedded null byte"),
    )
    for files, words in cases:
        with pytest.raises(BadTls, match=words):
            ServedPair(*files)


def test_files_are_looked_at_once_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr("hodei.tls.served.time.monotonic", lambda: now)
    file = tmp_path / "f"
    file.write_text("-----BEGIN 1")

    def check(content: bytes) -> bytes:
        if b"bad" in content:
            raise BadTls("it is bad")
        return content

    watched = Watched({"--flag": str(file)}, check)
    replace(file, "-----BEGIN 2")
    assert watched.look() == b"-----BEGIN 1", "not within the second"
    now += 1
    assert watched.look() == b"-----BEGIN 2"
    replace(file, "-----BEGIN bad")
    now += 1
    assert watched.look() == b"-----BEGIN 2", "what does not fit is not taken"
    file.unlink()
    now += 1
    assert watched.look() == b"-----BEGIN 2"
    file.write_text("-----BEGIN 3")
    now += 1
    assert watched.look() == b"-----BEGIN 3"


def replace(file: Path, text: str) -> None:
    new = file.with_suffix(".new")
    new.write_text(text)
    new.replace(file)


def test_a_key_is_never_in_the_words_for_a_pair(ca: Ca) -> None:
    made = ca.make("s", "localhost", "a\x1b.example")
    shown = repr(ServedPair(*made)._pair.content)
    assert shown.startswith("a certificate for localhost, a\\x1b.example, valid until 2")
    assert "PRIVATE" not in shown


def test_the_log_warns_of_what_is_served_all_the_same(ca: Ca) -> None:
    said: list[str] = []
    sink = logger.add(lambda line: said.append(str(line)), level="WARNING", format="{message}")
    try:
        made = ca.make("s", "localhost", days=30)
        Path(made.key).chmod(0o640)
        ServedPair(*made)
        assert said == []
        made = ca.make("s", "localhost", days=20)
        Path(made.key).chmod(0o644)
        ServedPair(*made)
    finally:
        logger.remove(sink)
    assert said[0].startswith(
        "the certificate that is served expires soon: it is a certificate for"
    )
    assert said[1] == f"every user of this host can read --tls-key {made.key}: chmod o-r\n"


def test_files_of_any_content_raise_nothing_else(ca: Ca) -> None:
    """A server reads them while it runs."""
    good = ca.make("s", "localhost")
    contents = [Path(path).read_bytes() for path in good]
    chance = random.Random(1)
    for number in range(600):
        changed = [bytearray(content) for content in contents]
        one = changed[number % 2]
        place = chance.randrange(len(one))
        one[place : place + chance.randrange(3)] = chance.randbytes(chance.randrange(3))
        with contextlib.suppress(BadTls):
            checked_pair(*map(bytes, changed))
