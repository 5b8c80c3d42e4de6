"""Which jobs a list is of, and which part of a log is read, as Python gives it and as a request says
it."""

from collections.abc import Mapping, Sequence, Set
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict

from hodei.domain import project
from hodei.domain.errors import Invalid
from hodei.domain.spec_json import UNTELLABLE

FIRST_RELEASE = ("state", "reason", "correlation_id")
"""Filters of one value each that servers of every release know."""

MOST_TAIL = 1_000_000
"""Lines that a server counts from the end of a log."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Filter(TypedDict, total=False):
    """Each key must hold; of several values one. None is no filter. An empty sequence or text is an
    error, as no job would match it."""

    state: str | Sequence[str]
    reason: str | Sequence[str]
    worker: str | Sequence[str]
    """That has it or had it last: a name, an id, or a part of an id."""

    name: str
    """`*` stands for any text, `?` for one character."""

    labels: Mapping[str, str]
    """That the job requires of its worker."""

    since: datetime | timedelta
    """Created at or after it; a timedelta is so long ago."""

    until: datetime | timedelta
    """Created before it."""

    actor: str
    correlation_id: str
    project: str


def request_fields(given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a ListJobsRequest that say a filter. Invalid: there is no such filter, or its
    value has another type."""
    if strangers := sorted(set(given) - set(Filter.__annotations__)):
        known = ", ".join(Filter.__annotations__)
        raise Invalid(f"{strangers[0]}: no such filter; known are {known}")
    plain = {key: value for key, value in given.items() if value is not None}
    for key, value in plain.items():  # a request would not say it, and so mean all jobs
        if key != "project" and isinstance(value, str | Sequence | Set) and not value:
            raise Invalid(f"{key}: expected at least one value, or None, got {value!r}")
    if all(key in FIRST_RELEASE and isinstance(value, str) for key, value in plain.items()):
        return {key: _text(value, key) for key, value in plain.items()}
    return {"filter": _filter(plain)}


def _filter(given: Mapping[str, Any]) -> Any:
    from hodei.protocol import hodei_pb2

    values: dict[str, Any] = {}
    for key, value in given.items():
        if key in {"state", "reason", "worker"}:
            values[f"{key}s"] = _texts(value, key)
        elif key in {"since", "until"}:
            values[f"{key}_unix_us"] = _unix_us(value, key)
        elif key == "labels":
            if not isinstance(value, Mapping):
                raise Invalid(f"labels: expected a mapping, got {type(value).__name__}")
            values[key] = {_text(k, key): _text(v, key) for k, v in value.items()}
        elif key == "project":
            values[key] = project_of(value)
        else:
            values[key] = _text(value, key)
    return hodei_pb2.JobFilter(**values)


def project_of(given: str | None) -> str:
    """The project that a request names; empty: the caller's. Invalid: it is not the name of one."""
    if given is not None and not isinstance(given, str):
        raise Invalid(f"project: expected text, got {type(given).__name__}")
    return "" if given is None else project.checked(given)


def log_fields(
    attempt: int | None, tail: int | None, since: datetime | timedelta | None
) -> dict[str, Any]:
    """The fields of a ReadLogsRequest that say a part of a log. Invalid: a value is out of range."""
    fields: dict[str, Any] = {}
    if attempt is not None:
        fields["attempt"] = _whole(attempt, "attempt", 1, (1 << 32) - 1)
    if tail is not None:
        fields["tail_lines"] = _whole(tail, "tail", 0, MOST_TAIL)
    if since is not None:
        fields["since_unix_us"] = _unix_us(since, "since")
    return fields


def _whole(value: Any, what: str, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Invalid(f"{what}: expected a whole number from {least} to {most}, got {value!r}")
    return value


def _texts(value: Any, what: str) -> list[str]:
    if not isinstance(value, str) and isinstance(value, Sequence | Set):
        return [_text(one, what) for one in value]
    return [_text(value, what)]


def _text(value: Any, what: str) -> str:
    """A text that a message can hold."""
    if not isinstance(value, str):
        raise Invalid(f"{what}: expected text, got {type(value).__name__}")
    if UNTELLABLE.search(value):
        raise Invalid(f"{what}: expected valid Unicode text without NUL, got {value[:80]!r}")
    return value


def _unix_us(value: Any, what: str) -> int:
    """Microseconds since 1970 of a time, or of a time so long ago."""
    given = value
    try:
        if isinstance(value, timedelta):
            value = datetime.now(UTC) - value
        if isinstance(value, datetime) and value.utcoffset() is not None:
            return (value - EPOCH) // timedelta(microseconds=1)
    except OverflowError:
        raise Invalid(f"{what}: expected a time of the years 1970 to 9999, got {given!r}") from None
    raise Invalid(f"{what}: expected a datetime with its offset or a timedelta, got {given!r}")
