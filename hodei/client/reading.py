"""Messages of hodei.proto as the records of the client."""

import json
import uuid
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

from hodei.client import records
from hodei.domain.errors import Invalid
from hodei.shapes import job as shapes
from hodei.shapes import wire
from hodei.shapes.fields import Json, Time, fields_of

T = TypeVar("T")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

STREAMS = {1: "stdout", 2: "stderr", 3: "notice"}

SHAPES: dict[type, type] = {
    records.Job: shapes.Job,
    records.Attempt: shapes.Attempt,
    records.Event: shapes.Event,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogChunk:
    """A part of a log, in the order in which it was written."""

    stream: str
    """stdout, stderr, or notice: Hodei's own words."""

    data: bytes
    """What was written: up to 64 KiB, which may end within a line or a character."""

    attempt: int
    """The attempt that wrote it."""

    byte_offset: int
    """Position of its first byte in its stream and attempt."""

    first_line: int
    """Number of the line that its first byte belongs to, from 1."""

    read_at: datetime
    """When the worker read it."""

    late: bool
    """Whether it arrived after its attempt had been given up."""

    @property
    def text(self) -> str:
        """What was written, as text; what is not UTF-8 is replaced."""
        return self.data.decode(errors="replace")


JobId = str | uuid.UUID | records.Job
"""How a job is named: its id, or the job itself."""


def id_of(job: JobId) -> str:
    """The id of a job, in its usual form. Invalid: it is none."""
    if isinstance(job, records.Job):
        return job.job_id
    try:
        return str(job if isinstance(job, uuid.UUID) else uuid.UUID(job))
    except (ValueError, TypeError, AttributeError):
        raise Invalid(f"job_id: expected a UUID, got {str(job)[:80]!r}") from None


def record(kind: type[T], message: Any) -> T:
    """The record that a message says."""
    shape: Any = wire.read(SHAPES[kind], message)
    kinds = {field.name: field.kind for field in fields_of(type(shape))}
    return kind(
        **{
            field.name: _value(kinds[field.name], getattr(shape, field.name))
            for field in fields(kind)  # type: ignore[arg-type]  # they are dataclasses
        }
    )


def _value(kind: Any, value: Any) -> Any:
    if value is None:
        return None
    if kind is Time:
        return when(value)
    return json.loads(value) if kind is Json else value


def when(unix_us: int) -> datetime:
    """A time of microseconds since 1970. One beyond the calendar, which only an edit of the database
    by hand can produce, is the first or the last of the calendar."""
    try:
        return EPOCH + timedelta(microseconds=unix_us)
    except OverflowError:
        return (datetime.max if unix_us > 0 else datetime.min).replace(tzinfo=UTC)


def chunk(message: Any) -> LogChunk:
    """A chunk of an answer of ReadLogs."""
    return LogChunk(
        stream=STREAMS.get(message.stream, "notice"),
        data=message.data,
        attempt=message.attempt,
        byte_offset=message.byte_offset,
        first_line=message.first_line,
        read_at=when(message.read_unix_us),
        late=message.late,
    )
