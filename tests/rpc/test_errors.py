"""Which status a caller gets for an error, and with which words."""

import asyncio

import grpc
import psycopg
import pytest

from hodei.domain import errors
from hodei.rpc.errors import STATUS, status_of

Status = grpc.StatusCode
SHOWN_AS_NOTHING = (Status.INTERNAL, "internal error: the server's log says more")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (errors.Invalid("name: expected text"), (Status.INVALID_ARGUMENT, "name: expected text")),
        (errors.NotFound("no job x"), (Status.NOT_FOUND, "no job x")),
        (errors.Conflict("it has ended"), (Status.FAILED_PRECONDITION, "it has ended")),
        (errors.Unavailable("away"), (Status.UNAVAILABLE, "away")),
        (errors.Exhausted("too many"), (Status.RESOURCE_EXHAUSTED, "too many")),
        # an error of a service's own task group
        (ExceptionGroup("", [errors.NotFound("no job x")]), (Status.NOT_FOUND, "no job x")),
        (ExceptionGroup("", [errors.NotFound("x"), KeyError("y")]), SHOWN_AS_NOTHING),
        (KeyError("postgres://user:secret@host"), SHOWN_AS_NOTHING),
        (psycopg.errors.UndefinedTable('relation "jobs" does not exist'), SHOWN_AS_NOTHING),
        (asyncio.CancelledError(), SHOWN_AS_NOTHING),
    ],
    ids=repr,
)
def test_the_status_of(error: BaseException, expected: tuple[grpc.StatusCode, str]) -> None:
    assert status_of(error) == expected


def test_each_kind_of_error_has_a_status() -> None:
    """A kind without one would be INTERNAL, with a traceback in the log for a caller's mistake."""
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type)}
    ours = {kind for kind in kinds if issubclass(kind, errors.HodeiError)} - {errors.HodeiError}
    assert [kind for kind in ours if not issubclass(kind, tuple(STATUS))] == []
