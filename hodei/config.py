"""Every setting of a server, read once."""

from dataclasses import dataclass

from hodei.access.roles import LADDER, Role
from hodei.domain import durations
from hodei.domain.errors import Invalid
from hodei.domain.timing import LOST_AFTER_S

LOOPBACK = ("127.", "localhost", "[::1]")


@dataclass(frozen=True)
class Settings:
    database_url: str
    listen_url: str  # for LISTEN, past a transaction pooler; the same as database_url unless given
    grpc: str  # HOST:PORT
    log_level: str = "info"
    log_format: str = "text"
    insecure: bool = False
    loopback_role: str | None = None  # of calls from the server's host without a key
    anonymous_role: str = Role.NONE  # of all other calls without a key
    prepare: bool = True
    lost_after_s: float = LOST_AFTER_S
    drain_s: float = 30.0
    keep_days: int = 30  # 0: everything is kept
    advertise: tuple[str, ...] = ()  # HOST:PORT of servers, for workers that are made on demand

    def __post_init__(self) -> None:
        host, _, port = self.grpc.rpartition(":")
        if not host or not port.isdigit() or int(port) > 65535:
            raise Invalid(f"--grpc: expected HOST:PORT, got {self.grpc!r}")
        _check_role(self.loopback_role or Role.NONE, "--loopback-role")
        _check_role(self.anonymous_role, "--anonymous-role")
        if not self.insecure and not on_loopback(self.grpc):
            raise Invalid(
                f"--grpc {self.grpc}: beyond loopback the connection is neither encrypted nor are callers authenticated; "
                "add --insecure to accept that"
            )
        if self.keep_days < 0:
            raise Invalid(
                f"--keep-days: expected days, or 0 to keep everything, got {self.keep_days}"
            )
        if self.lost_after_s < 45:
            raise Invalid(
                f"--lost-after: expected at least 45 s (UNREACHABLE comes at 30 s), got {self.lost_after_s:g}"
            )

    @property
    def only_loopback(self) -> bool:
        """Whether no other machine can reach this server."""
        return self.grpc.startswith(LOOPBACK)


def on_loopback(address: str) -> bool:
    """Returns whether only this host can reach a HOST:PORT."""
    return address.startswith(LOOPBACK)


def _check_role(role: str, flag: str) -> None:
    if role not in LADDER:
        raise Invalid(f"{flag}: expected one of {', '.join(LADDER)}, got {role!r}")


def seconds(text: str, flag: str) -> float:
    """Reads a duration, as 90s or 2m. Invalid names the flag."""
    value = durations.seconds(text)
    if value is None:
        raise Invalid(durations.refusal(flag, text))
    return float(value)
