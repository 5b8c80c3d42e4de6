"""What a caller or a worker needs for TLS: whom it trusts, and its own certificate. Files are read
whenever a connection is opened, so that replaced ones are used with the next."""

import os
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hodei.protocol.small_file import read_at_most
from hodei.tls.address import Address, is_host
from hodei.tls.bad import BadTls
from hodei.tls.system_cas import system_cas

if TYPE_CHECKING:
    import ssl

MOST_BYTES = 1 << 20
"""Bytes of a file of certificates. The CAs of a system take a quarter of it."""


class Tls(NamedTuple):
    """Paths of files in PEM, and a name."""

    ca: str | None = None
    """The CAs that are trusted; None: those of the system."""

    name: str | None = None
    """The name that the server's certificate must have; None: the host of the address."""

    cert: str | None = None
    """The certificate that is shown to a server that asks for one."""

    key: str | None = None
    """The private key of that certificate."""

    def check(self, addresses: Sequence[Address]) -> None:
        """BadTls: a file is not as expected, or nothing here is used because no address has TLS."""
        used = any(address.tls for address in addresses)
        for flag, value in zip(FLAGS, self, strict=True):
            if value and not used:
                raise BadTls(
                    f"{flag} is given, but no address begins with https://: add --tls, or"
                    f" {flag} protects nothing"
                )
        if self.name and not is_host(self.name):
            raise BadTls(f"--tls-name: expected the name of a host, got {self.name!r}")
        if bool(self.cert) != bool(self.key):
            raise BadTls("--tls-cert and --tls-key: expected both or none, got one")
        if used:
            self.context()

    def context(self) -> "ssl.SSLContext":
        """The same trust for Python's ssl, without a check of names. BadTls."""
        import ssl

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        cas = _trusted(self.ca)
        if cas is None:
            context.load_default_certs()
        else:
            try:
                context.load_verify_locations(cadata=cas.decode(errors="replace"))
            except ssl.SSLError:
                raise BadTls(
                    f"--tls-ca {self.ca}: expected certificates in PEM, got something else"
                ) from None
        if self.cert and self.key:
            _load_own(context, self.cert, self.key)
        return context


NO_TLS = Tls()
"""Nothing is said: the CAs of the system, and no certificate of one's own."""

FLAGS = ("--tls-ca", "--tls-name", "--tls-cert", "--tls-key")
VARIABLES = ("HODEI_TLS_CA", "HODEI_TLS_NAME", "HODEI_TLS_CERT", "HODEI_TLS_KEY")
"""The flags and the variables for the fields of Tls, in their order."""


def from_environment(environment: Mapping[str, str]) -> Tls:
    return Tls(*(environment.get(name) or None for name in VARIABLES))


def open_channel(grpc: Any, address: Address, tls: Tls, options: Sequence[Any]) -> Any:
    """A channel to an address, by the module `grpc` or `grpc.aio`. BadTls."""
    if not address.tls:
        return grpc.insecure_channel(address.target, options=options)
    from grpc import ssl_channel_credentials

    own = (read(tls.key, "--tls-key"), read(tls.cert, "--tls-cert")) if tls.cert and tls.key else ()
    credentials = ssl_channel_credentials(_trusted(tls.ca), *own)
    named = [("grpc.ssl_target_name_override", tls.name)] if tls.name else []
    return grpc.secure_channel(address.target, credentials, options=[*options, *named])


CLOSE_WITHIN_S = 0.5
"""Seconds in which a channel is closed: mostly it takes a millisecond."""


def close_interrupted(channel: Any) -> None:
    """Closes a blocking channel after a KeyboardInterrupt, and waits for CLOSE_WITHIN_S at most: an
    interrupt in the middle of gRPC's own steps may leave a channel whose close never returns. It
    does wait, as Python's end hangs where it meets a thread that closes a channel."""
    closing = threading.Thread(target=channel.close, daemon=True)
    closing.start()
    closing.join(CLOSE_WITHIN_S)


def interrupt_of(error: BaseException | None) -> KeyboardInterrupt | None:
    """The interrupt during which an error was raised. In the middle of gRPC's own steps an interrupt
    may end in an error about a lock."""
    while error:
        if isinstance(error, KeyboardInterrupt):
            return error
        error = error.__context__
    return None


def stamp(tls: Tls) -> tuple[tuple[int, int, int], ...]:
    """What changes when one of the files is replaced or written."""
    return tuple(stamp_of(path) for path in (tls.ca, tls.cert, tls.key) if path)


def stamp_of(path: str) -> tuple[int, int, int]:
    """What changes when a file is replaced or written; zeros while there is none."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return 0, 0, 0
    return found.st_mtime_ns, found.st_ino, found.st_size


def _trusted(ca: str | None) -> bytes | None:
    return read(ca, "--tls-ca") if ca else system_cas()


def read(path: str, flag: str) -> bytes:
    """The content of a file of certificates or of a key. BadTls: it cannot be read, is too long or
    is no PEM."""
    try:
        found = read_at_most(path, MOST_BYTES + 1)
    except OSError as error:
        raise BadTls(f"{flag} {path}: {error.strerror}") from None
    if len(found) > MOST_BYTES:
        raise BadTls(f"{flag} {path}: expected a file of at most {MOST_BYTES} bytes, got more")
    if b"-----BEGIN " not in found:
        raise BadTls(f"{flag} {path}: expected a file in PEM, got one without -----BEGIN")
    return found


def _load_own(context: "ssl.SSLContext", cert: str, key: str) -> None:
    import ssl

    read(cert, "--tls-cert")
    read(key, "--tls-key")

    def refuse() -> bytes:
        raise BadTls(f"--tls-key {key}: expected a key without a passphrase, got one with")

    try:
        context.load_cert_chain(cert, key, password=refuse)
    except ssl.SSLError as error:
        if "MISMATCH" in (error.reason or ""):
            raise BadTls(
                f"--tls-key {key}: expected the key of the certificate in {cert}, got another one"
            ) from None
        raise BadTls(
            f"--tls-cert {cert}, --tls-key {key}: expected a certificate and its key in PEM"
        ) from None
    except OSError as error:
        raise BadTls(f"--tls-cert {cert}: {os.strerror(error.errno or 0)}") from None
