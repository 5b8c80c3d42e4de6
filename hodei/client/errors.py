"""What a call of the client may raise: always a HodeiError, and never an error of gRPC.

The kinds and their words are the servers' own (hodei/domain/errors.py). Those that only a client
knows stand here."""

from hodei.domain.errors import (
    Aborted,
    Conflict,
    Duplicate,
    Exhausted,
    Forbidden,
    HodeiError,
    Invalid,
    NotFound,
    Unauthenticated,
    Unavailable,
)
from hodei.domain.text import shown
from hodei.tls.grpc_words import was_not_sent, without_grpc

__all__ = [
    "Aborted",
    "Closed",
    "Conflict",
    "Duplicate",
    "Exhausted",
    "Forbidden",
    "HodeiError",
    "Invalid",
    "NotFound",
    "ServerFault",
    "TimedOut",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
]


class TimedOut(HodeiError, TimeoutError):
    """The call's time has passed. What it asked for may have been done."""


class ServerFault(HodeiError):
    """The server has met a fault of its own; its log says more."""


class Unsupported(HodeiError):
    """The server is of a release that does not have this."""


class Closed(HodeiError):
    """The client was closed, or belongs to the process that this one was forked from."""


KINDS: dict[str, type[HodeiError]] = {
    "INVALID_ARGUMENT": Invalid,
    "NOT_FOUND": NotFound,
    "FAILED_PRECONDITION": Conflict,
    "ALREADY_EXISTS": Duplicate,
    "UNAUTHENTICATED": Unauthenticated,
    "PERMISSION_DENIED": Forbidden,
    "ABORTED": Aborted,
    "UNAVAILABLE": Unavailable,
    "RESOURCE_EXHAUSTED": Exhausted,
    "DEADLINE_EXCEEDED": TimedOut,
    "UNIMPLEMENTED": Unsupported,
    "CANCELLED": Unavailable,
    "UNKNOWN": Unavailable,
}
"""By the name of gRPC's status; any other is a ServerFault. A server that stops cancels what it has
not answered, and one that is killed leaves UNKNOWN."""

PASSING = frozenset(
    {"UNAVAILABLE", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED", "ABORTED", "CANCELLED", "UNKNOWN"}
)
"""Statuses after which the same call may succeed a moment later, or at another server."""


def error_of(status: str, words: str) -> HodeiError:
    """The error that a status says, with the server's words on one line."""
    if status == "UNIMPLEMENTED":
        words = "the server is of an older release, which does not have this call"
    return KINDS.get(status, ServerFault)(
        shown(without_grpc(words)) or f"the server answered {status}"
    )


def was_not_done(status: str, words: str) -> bool:
    """Whether it is sure that a call that failed in a passing way has changed nothing."""
    return status == "RESOURCE_EXHAUSTED" or was_not_sent(words)
