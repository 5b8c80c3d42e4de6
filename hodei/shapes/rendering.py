"""A shape as JSON: nothing is null, times are RFC 3339 in UTC with microseconds."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from hodei.shapes.fields import Field, Json, Time, fields_of, shape_in

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

EARLIEST, LATEST = "0001-01-01T00:00:00.000000Z", "9999-12-31T23:59:59.999999Z"
"""Shown in place of a time beyond the calendar, as PostgreSQL's infinity, which only a hand can
set: whatever reads the JSON can read them."""


def as_dict(shape: Any) -> dict[str, Any]:
    """Every field by its name, in the order of the shape."""
    return {
        field.name: _value(field, getattr(shape, field.name)) for field in fields_of(type(shape))
    }


def _value(field: Field, value: Any) -> Any:
    if value is None:
        return None
    if field.kind is Time:
        return rfc3339(value)
    if field.kind is Json:
        return json.loads(value)
    if shape_in(field):
        return [as_dict(one) for one in value]
    return value


def rfc3339(unix_us: int) -> str:
    """A time in microseconds since 1970, as 2026-01-31T12:00:00.000000Z."""
    try:
        at = EPOCH + timedelta(microseconds=unix_us)
    except OverflowError:
        return LATEST if unix_us > 0 else EARLIEST
    return at.isoformat(timespec="microseconds").replace("+00:00", "Z")
