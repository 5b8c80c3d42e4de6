"""Certificates of every kind that a server may have, good and bad."""

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID


class Files(NamedTuple):
    """A certificate and its key, as files."""

    cert: str
    key: str

    @property
    def contents(self) -> tuple[bytes, bytes]:
        """The key and the certificate, in the order in which gRPC takes them."""
        return Path(self.key).read_bytes(), Path(self.cert).read_bytes()


class Ca:
    """A CA whose files are in a folder; ca.pem is its own."""

    def __init__(self, folder: Path, name: str = "test CA", above: "Ca | None" = None) -> None:
        """`above`: the CA that signs this one; otherwise it signs itself."""
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        signer = above or self
        made = signer._builder(self._name, self._key.public_key(), -1, 30)
        made = made.add_extension(x509.BasicConstraints(True, None), True)
        self.file = folder / "ca.pem"
        self.file.write_bytes(pem(made.sign(signer._key, hashes.SHA256())))

    def make(
        self,
        stem: str,
        *names: str,
        begins: float = -1.0,
        days: float = 30.0,
        key: Any = None,
    ) -> Files:
        """A certificate for these names, valid from `begins` days from now until `days`."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, stem)])
        made = self._builder(subject, key.public_key(), begins, days)
        if names:
            alternatives = x509.SubjectAlternativeName(list(map(_general, names)))
            made = made.add_extension(alternatives, False)
        cert, own = self._folder / f"{stem}.pem", self._folder / f"{stem}-key.pem"
        cert.write_bytes(pem(made.sign(self._key, hashes.SHA256())))
        own.write_bytes(key_pem(key))
        return Files(str(cert), str(own))

    def _builder(
        self, subject: x509.Name, public: Any, begins: float, days: float
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + timedelta(days=begins))
            .not_valid_after(now + timedelta(days=days))
        )


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.PEM)


def key_pem(key: Any) -> bytes:
    made: bytes = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return made
