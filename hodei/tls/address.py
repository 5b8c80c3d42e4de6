"""The addresses of servers, as people write them: HOST:PORT, with http:// or https:// before it.

ipaddress is imported when it is used: each start of `hodei` would pay for it."""

from collections.abc import Iterable
from typing import NamedTuple

EXPECTED = "expected HOST:PORT[,HOST:PORT…]"


class BadAddress(ValueError):
    """A text is no address. The message says what is wrong with it."""


class Address(NamedTuple):
    """Where a server listens, and whether the connection to it is encrypted."""

    target: str
    """HOST:PORT, as gRPC takes it."""

    tls: bool = False

    def __str__(self) -> str:
        return f"https://{self.target}" if self.tls else self.target

    @property
    def host(self) -> str:
        """The host, an IPv6 address without its brackets."""
        return self.target.rpartition(":")[0].strip("[]")

    @property
    def is_private(self) -> bool:
        """Whether nobody on the way can read what is sent there."""
        return self.tls or is_loopback(self.host)

    @property
    def port(self) -> int:
        return int(self.target.rpartition(":")[2])


def parse_all(text: str, *, tls: bool) -> tuple[Address, ...]:
    """Reads HOST:PORT[,HOST:PORT…]; `tls` says what an address without a scheme means. BadAddress."""
    return parse_each([part for part in text.split(",") if part.strip()], text, tls=tls)


def parse_each(parts: Iterable[object], given: object, *, tls: bool) -> tuple[Address, ...]:
    """Reads addresses; `given` is quoted in errors. BadAddress: one is none, or there is none."""
    quoted = _without_password(given)
    found = tuple(_parse(part, quoted, tls=tls) for part in parts)
    if not found:
        raise BadAddress(f"{EXPECTED}, got {quoted!r}")
    return found


def _without_password(given: object) -> object:
    """What errors may quote. An address has no place for a user and a password, but whoever takes it
    for another kind of URL, such as the database's, gives them."""
    if isinstance(given, str):
        _, at, rest = given.rpartition("@")
        return f"***@{rest}" if at else given
    return [*map(_without_password, given)] if isinstance(given, list | tuple) else given


def _parse(part: object, given: object, *, tls: bool) -> Address:
    text = part.strip().rstrip("/") if isinstance(part, str) else ""
    scheme, separator, rest = text.partition("://")
    target = rest if separator else text
    host, _, port = target.rpartition(":")
    is_number = port.isascii() and port.isdigit()
    if not host or set("/@") & set(host) or not host.isprintable() or not is_number:
        raise BadAddress(f"{EXPECTED}, got {given!r}")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise BadAddress(f"expected brackets around an IPv6 address, as [::1]:50051, got {given!r}")
    if not 0 < int(port[:6]) < 65536:
        raise BadAddress(f"{EXPECTED} with a port from 1 to 65535, got {given!r}")
    if not separator:
        return Address(target, tls)
    if scheme.lower() not in ("http", "https"):
        raise BadAddress(f"expected http:// or https:// before HOST:PORT, got {given!r}")
    if tls and scheme.lower() == "http":
        raise BadAddress(f"http:// means plain text, and --tls means TLS: got both with {given!r}")
    return Address(target, scheme.lower() == "https")


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a host: `localhost`, 127.0.0.0/8 or ::1. A name is not
    looked up."""
    import ipaddress

    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_host(text: str) -> bool:
    """Whether a text can be the name or the IP address of a host, as certificates have it."""
    import ipaddress

    try:
        ipaddress.ip_address(text)
    except ValueError:
        labels = text.removeprefix("*.").removesuffix(".").split(".")
        return len(text) <= 253 and all(map(_is_label, labels))
    return True


def _is_label(label: str) -> bool:
    return 0 < len(label) < 64 and label.isascii() and all(c.isalnum() or c in "-_" for c in label)
