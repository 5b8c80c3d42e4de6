"""How values go to PostgreSQL: numbered parameters, arrays without a type, arrays of bytes."""

import functools
import re
import struct
import uuid
from collections.abc import Sequence

import psycopg
from psycopg.adapt import Dumper
from psycopg.pq import Format


@functools.cache
def numbered(statement: str) -> tuple[str, tuple[str, ...]]:
    """Returns a statement with PostgreSQL's own $1, $2 in place of %(name)s, and the names in that
    order. The driver would parse a long statement each time."""
    names: dict[str, int] = {}
    text = re.sub(
        r"%\((\w+)\)s", lambda match: f"${names.setdefault(match[1], len(names) + 1)}", statement
    )
    return text, tuple(names)


def array(values: Sequence[object]) -> str:
    """Returns an array as PostgreSQL writes it, without a type: the statement's cast names it. The
    driver would bind a list as int2[], int4[] or text[] by its values, and each combination is
    another statement to PostgreSQL, which it plans anew."""
    kinds = set(map(type, values))
    if kinds == {int}:
        return "{" + str(list(values))[1:-1] + "}"
    if kinds == {type(None)}:
        return "{" + ",".join(["NULL"] * len(values)) + "}"
    if kinds == {uuid.UUID}:
        # A claim has few objects many times: a worker's id for each of its free slots.
        texts: dict[int, str] = {}
        return (
            "{"
            + ",".join([texts.get(id(v)) or texts.setdefault(id(v), str(v)) for v in values])
            + "}"
        )
    return "{" + ",".join(map(_element, values)) + "}"


def _element(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return str(value)


def arrays(fields: Sequence[str], records: Sequence[tuple[object, ...]]) -> dict[str, object]:
    """Returns records as parameters of a statement: an array for each field."""
    return {
        field: array(column)
        for field, column in zip(fields, zip(*records, strict=True), strict=True)
    }


class Blobs(list[bytes]):
    """A bytea[] parameter, sent as binary. The driver would send a list of bytes as text, with up
    to five characters for a byte."""


class _BlobsDumper(Dumper):
    format = Format.BINARY
    oid = psycopg.adapters.types["bytea"].array_oid

    def dump(self, blobs: Sequence[bytes]) -> bytes:
        """Writes an array as PostgreSQL sends it: dimensions, no nulls, element type; length and
        first index; then each element with its length."""
        head = struct.pack(">iiIii", 1, 0, psycopg.adapters.types["bytea"].oid, len(blobs), 1)
        return head + b"".join(
            part for blob in blobs for part in (len(blob).to_bytes(4, "big"), blob)
        )


psycopg.adapters.register_dumper(Blobs, _BlobsDumper)
