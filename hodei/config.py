"""Every setting of a server, read once."""

from dataclasses import dataclass
from typing import NamedTuple

from hodei.access.roles import LADDER, Role
from hodei.domain import durations
from hodei.domain.errors import Invalid
from hodei.domain.timing import LOST_AFTER_S
from hodei.tls.address import is_loopback

MOST_LISTENERS = 16


class Listener(NamedTuple):
    """One address to listen at."""

    address: str  # HOST:PORT
    client_ca: str | None = None  # a file of CAs: every caller must show a certificate of one

    @property
    def is_on_loopback(self) -> bool:
        """Whether only this machine can reach it."""
        return is_loopback(self.address.rpartition(":")[0])


@dataclass(frozen=True)
class Settings:
    database_url: str
    listen_url: str  # for LISTEN, past a transaction pooler; the same as database_url unless given
    listeners: tuple[Listener, ...]
    log_level: str = "info"
    log_format: str = "text"
    insecure: bool = False  # beyond loopback without TLS
    tls_cert: str | None = None  # a file; with it every listener has TLS
    tls_key: str | None = None
    loopback_role: str | None = None  # of calls from the server's host without a key
    anonymous_role: str = Role.NONE  # of all other calls without a key
    prepare: bool = True
    lost_after_s: float = LOST_AFTER_S
    drain_s: float = 30.0
    keep_days: int = 30  # 0: everything is kept
    advertise: tuple[str, ...] = ()  # HOST:PORT of servers, for workers that are made on demand
    secret_key_files: tuple[str, ...] = ()  # the first encrypts, all decrypt

    def __post_init__(self) -> None:
        _check_role(self.loopback_role or Role.NONE, "--loopback-role")
        _check_role(self.anonymous_role, "--anonymous-role")
        self._check_listeners()
        if self.keep_days < 0:
            raise Invalid(
                f"--keep-days: expected days, or 0 to keep everything, got {self.keep_days}"
            )
        if self.lost_after_s < 45:
            raise Invalid(
                f"--lost-after: expected at least 45 s (UNREACHABLE comes at 30 s), got {self.lost_after_s:g}"
            )

    @property
    def addresses(self) -> str:
        """The addresses as they are asked for, for people."""
        return ", ".join(one.address for one in self.listeners)

    @property
    def only_loopback(self) -> bool:
        """Whether no other machine can reach this server."""
        return all(one.is_on_loopback for one in self.listeners)

    def _check_listeners(self) -> None:
        """Invalid: they cannot be as they are asked for."""
        if not 1 <= len(self.listeners) <= MOST_LISTENERS:
            raise Invalid(
                f"--grpc: expected 1 to {MOST_LISTENERS} of them, got {len(self.listeners)}"
            )
        if bool(self.tls_cert) != bool(self.tls_key):
            raise Invalid("--tls-cert and --tls-key: expected both or none, got one")
        for one in self.listeners:
            if one.client_ca and not self.tls_cert:
                raise Invalid(
                    f"--grpc {one.address}: client-ca needs TLS; add --tls-cert and --tls-key"
                )
            if not (self.tls_cert or self.insecure or one.is_on_loopback):
                raise Invalid(
                    f"--grpc {one.address}: beyond loopback the connection needs TLS; add --tls-cert and"
                    " --tls-key (`hodei tls init` makes them), or --insecure for plain text"
                )


def listener(text: str) -> Listener:
    """Reads HOST:PORT[,client-ca=FILE]. Invalid: it is something else."""
    address, *options = text.split(",")
    host, _, port = address.rpartition(":")
    is_number = port.isascii() and port.isdigit()
    if not host or not host.isprintable() or not is_number or int(port[:6]) > 65535:
        raise Invalid(f"--grpc: expected HOST:PORT, got {address!r}")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise Invalid(
            f"--grpc: expected brackets around an IPv6 address, as [::]:50051, got {address!r}"
        )
    client_ca = None
    for option in options:
        key, _, value = option.partition("=")
        if key != "client-ca" or not value or client_ca:
            raise Invalid(f"--grpc {address}: expected client-ca=FILE behind it, got {option!r}")
        client_ca = value
    return Listener(address, client_ca)


def _check_role(role: str, flag: str) -> None:
    if role not in LADDER:
        raise Invalid(f"{flag}: expected one of {', '.join(LADDER)}, got {role!r}")


def seconds(text: str, flag: str) -> float:
    """Reads a duration, as 90s or 2m. Invalid names the flag."""
    value = durations.seconds(text)
    if value is None:
        raise Invalid(durations.refusal(flag, text))
    return float(value)
