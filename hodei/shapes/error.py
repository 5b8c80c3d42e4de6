"""An error of the command line, as programs read it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated


class ErrorKind(StrEnum):
    """The kinds of errors of the command line, which programs can tell apart."""

    USAGE = "usage"
    NO_SERVER = "no_server"
    UNAVAILABLE = "unavailable"
    EXHAUSTED = "exhausted"
    INVALID = "invalid"
    NOT_FOUND = "not_found"
    AMBIGUOUS = "ambiguous"
    CONFLICT = "conflict"
    DUPLICATE = "duplicate"
    ABORTED = "aborted"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    UNSUPPORTED = "unsupported"
    INTERNAL = "internal"
    FAILED = "failed"  # any other


@dataclass(frozen=True, slots=True, kw_only=True)
class Error:
    """Why a command did not do what it was asked."""

    message: Annotated[str, "What was wrong, what was expected and what to do, for people."]
    kind: Annotated[
        str,
        "One word: usage (the command line is wrong), no_server (none answers), unavailable, "
        "exhausted (try again later), invalid, not_found, ambiguous, conflict, duplicate, aborted, "
        "unauthenticated (an API key is missing or not valid), forbidden (its role does not reach), "
        "unsupported (the server is older), internal (a defect), or failed.",
    ]
    exit_code: Annotated[int, "The exit code of the command (command-line.md)."]
