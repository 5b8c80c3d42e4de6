"""A CA of one's own, and the certificates that it signs: for those who have no other CA.

The CA is made once and kept; the certificates are made anew each time, with new keys."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from hodei.tls.address import is_host
from hodei.tls.bad import BadTls
from hodei.tls.caller import read
from hodei.tls.pair import checked_pair

CA_DAYS = 3650
"""Days for which a CA is valid."""

SKEW = timedelta(hours=1)
"""Certificates are valid from so long ago on, for hosts whose clocks are behind."""

LOCAL = ("localhost", "127.0.0.1", "::1")
"""Names that each server's certificate has too, for callers on its own host."""


class Made(NamedTuple):
    """What was made."""

    is_new_ca: bool
    names: tuple[str, ...]
    expires_at: datetime


def make(folder: Path, hosts: Sequence[str], days: int) -> Made:
    """Makes ca.pem, server.pem and client.pem, each with its key beside it, as server-key.pem. A CA
    that is there signs them. BadTls: a host is none, or the CA that is there is of no use. OSError."""
    names = tuple(dict.fromkeys([*map(_name, hosts), *LOCAL]))
    folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    is_new = not (folder / "ca.pem").exists()
    if is_new:
        _make_ca(folder)
    ca, ca_key = _load_ca(folder)
    expires_at = min(datetime.now(UTC) + timedelta(days=days), ca.not_valid_after_utc)
    alternatives = x509.SubjectAlternativeName([_general_name(name) for name in names])
    server, client = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
    for stem, usage, extra in (("server", server, alternatives), ("client", client, None)):
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(f"Hodei {stem}", ca.subject, key.public_key(), expires_at)
        builder = builder.add_extension(x509.BasicConstraints(False, None), True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), False)
        if extra:
            builder = builder.add_extension(extra, False)
        _write_pair(folder, stem, _signed(builder, ca, ca_key), key)
    return Made(is_new, names, expires_at)


def _name(host: str) -> str:
    """A host as a certificate names it. BadTls."""
    text = host.strip("[]").lower()
    if not is_host(text):
        raise BadTls(f"--host: expected the name or the IP address of a host, got {host!r}")
    try:
        return str(ip_address(text))
    except ValueError:
        return text.removesuffix(".")


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _builder(
    name: str, issuer: x509.Name | None, public: ec.EllipticCurvePublicKey, expires_at: datetime
) -> x509.CertificateBuilder:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - SKEW)
        .not_valid_after(expires_at)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), False)
    )


def _signed(
    builder: x509.CertificateBuilder, ca: x509.Certificate, ca_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    of_ca = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca.public_key())  # type: ignore[arg-type]
    return builder.add_extension(of_ca, False).sign(ca_key, hashes.SHA256())


def _make_ca(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    expires_at = datetime.now(UTC) + timedelta(days=CA_DAYS)
    usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
    builder = (
        _builder("Hodei CA", None, key.public_key(), expires_at)
        .add_extension(x509.BasicConstraints(True, 0), True)
        .add_extension(usage, True)
    )
    _write_pair(folder, "ca", builder.sign(key, hashes.SHA256()), key)


def _load_ca(folder: Path) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """BadTls: they do not belong together, or the CA has expired."""
    certificate = read(str(folder / "ca.pem"), "the CA")
    key = read(str(folder / "ca-key.pem"), "the CA's key")
    try:
        checked_pair(certificate, key)
    except BadTls as error:
        raise BadTls(f"the CA in {folder}: {error}") from None
    loaded = load_pem_private_key(key, None)
    if not isinstance(loaded, ec.EllipticCurvePrivateKey):
        raise BadTls(f"the CA in {folder}: expected one that `hodei tls init` has made")
    return x509.load_pem_x509_certificate(certificate), loaded


def _write_pair(
    folder: Path, stem: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> None:
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    _replace(folder / f"{stem}-key.pem", pem, 0o600)
    _replace(folder / f"{stem}.pem", certificate.public_bytes(Encoding.PEM), 0o644)


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Writes a file whole or not at all, on disk before its name points to it."""
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with os.fdopen(fd, "wb") as file:
        os.fchmod(fd, mode)
        file.write(content)
        file.flush()
        os.fsync(fd)
    new.replace(path)
