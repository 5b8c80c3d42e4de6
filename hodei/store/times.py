"""How times leave PostgreSQL: as whole microseconds since 1970 (UTC), whatever a database's
DateStyle or TimeZone says.

A datetime can hold neither `infinity` nor a year after 9999, and one such row, set by hand, would
cost the answer of all others. The binary form of a timestamptz depends on no setting."""

import struct
from datetime import UTC, datetime

import psycopg
from psycopg.adapt import Buffer, Loader
from psycopg.pq import Format

NEVER = (1 << 63) - 1
"""`infinity`, and every time that lies so far ahead, in microseconds. `-infinity` is its negative.
"""

EPOCH_US = 946_684_800_000_000
"""Microseconds from 1970 to 2000, from when PostgreSQL counts."""


class _Microseconds(Loader):
    format = Format.BINARY

    def load(self, data: Buffer) -> int:
        (since_2000,) = struct.unpack(">q", data)
        if since_2000 == -NEVER - 1:
            return -NEVER
        return int(min(NEVER, since_2000 + EPOCH_US))


psycopg.adapters.register_loader("timestamptz", _Microseconds)


def instant(microseconds: int) -> str:
    """Returns ISO 8601 in seconds; `never` or `ever since` for a time that no calendar has."""
    try:
        return datetime.fromtimestamp(microseconds // 1_000_000, UTC).isoformat(timespec="seconds")
    except (OverflowError, ValueError, OSError):
        return "never" if microseconds > 0 else "ever since"
