"""A server's certificate and its private key: read, and checked to fit together and to be of a kind
that gRPC can serve, before they are used."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from hodei.domain.text import shown
from hodei.tls.bad import BadTls
from hodei.tls.words import MOST_NAMES, utc

LEAST_RSA_BITS = 2048

CURVES = ("secp256r1", "secp384r1")
"""The kinds of keys that clients of gRPC take. With any other one each handshake would fail."""


@dataclass(frozen=True, slots=True, repr=False)
class Pair:
    """A certificate, with those of the CAs between it and the one that is trusted, and its key."""

    certificates: bytes
    key: bytes
    names: tuple[str, ...]
    expires_at: datetime

    def __repr__(self) -> str:  # without the key
        names = ", ".join(self.names[:MOST_NAMES]) or "no host"
        return f"a certificate for {shown(names)}, valid until {utc(self.expires_at)}"


def checked_pair(certificates: bytes, key: bytes) -> Pair:
    """BadTls: they are no certificate and key in PEM, do not belong together, are of a kind that
    gRPC cannot serve, or the certificate has expired."""
    try:
        return _checked(certificates, key)
    except BadTls:
        raise
    except Exception:  # noqa: BLE001  the library has many kinds, and a server calls this as it runs
        raise BadTls("expected a certificate and a key, got some that cannot be read") from None


def _checked(certificates: bytes, key: bytes) -> Pair:
    own = load_certificates(certificates)[0]
    public = _loaded_key(key).public_key()
    if _bytes_of(public) != _bytes_of(own.public_key()):
        raise BadTls(
            "expected the key of the first certificate, got another one (the files may be about to"
            " be replaced)"
        )
    _check_kind(public)
    if own.not_valid_after_utc < datetime.now(UTC):
        until = utc(own.not_valid_after_utc)
        raise BadTls(f"the certificate has expired: it was valid until {until}")
    return Pair(certificates, key, names_of(own), own.not_valid_after_utc)


def load_certificates(pem: bytes) -> list[x509.Certificate]:
    """Reads certificates in PEM. BadTls: one of them is none, or there is none."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion):
        raise BadTls("expected certificates in PEM, got something else") from None


def _loaded_key(pem: bytes) -> Any:
    try:
        return load_pem_private_key(pem, None)
    except TypeError:
        raise BadTls("expected a key without a passphrase, got one with") from None
    except (ValueError, UnsupportedAlgorithm):
        raise BadTls("expected a private key in PEM, got something else") from None


def _check_kind(public: Any) -> None:
    if isinstance(public, rsa.RSAPublicKey):
        if public.key_size < LEAST_RSA_BITS:
            raise BadTls(
                f"expected an RSA key of at least {LEAST_RSA_BITS} bits, got {public.key_size}"
            )
    elif not (isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in CURVES):
        kind = getattr(getattr(public, "curve", None), "name", "") or _kind_of(public)
        raise BadTls(f"expected a key of RSA, ECDSA P-256 or P-384, got {kind}")


def _kind_of(public: Any) -> str:
    return re.sub("PublicKey$", "", type(public).__name__)


def _bytes_of(public: Any) -> bytes:
    found: bytes = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return found


def names_of(certificate: x509.Certificate) -> tuple[str, ...]:
    """The hosts that a certificate names."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    dns = found.get_values_for_type(x509.DNSName)
    addresses = found.get_values_for_type(x509.IPAddress)
    return (*dns, *map(str, addresses))
