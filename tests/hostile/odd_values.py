"""Values at the ends of each type, as a hand may put them into a column. All of them are SQL."""

from hodei.store.expected import expected

LONG = "repeat('x', 10000000)"
DENSE = "(SELECT string_agg(md5(n::text), '') FROM generate_series(1, 5000) n)"  # not compressible
CONTROLS = r"E'\x01\x1b[31m\r\n\t\u202e\U0001F600'"


def _ends(bits: int) -> list[str]:
    most = (1 << bits - 1) - 1
    return [f"'{-most - 1}'", f"'{most}'", "'0'", "'-1'"]


ENDS: dict[str, list[str]] = {
    "timestamp with time zone": [
        "'infinity'",
        "'-infinity'",
        "'294276-12-31 23:59:59.999999+00'",
        "'4713-01-01 00:00:00+00 BC'",
    ],
    "smallint": ["'1'", "'3'"],
    "integer": _ends(32),
    "bigint": _ends(64),
    "double precision": ["'NaN'", "'infinity'", "'-infinity'", "'1e308'", "'-1e308'", "'5e-324'"],
    "text": ["''", "'wrong'", LONG, DENSE, CONTROLS],
    "jsonb": [
        "'{}'",
        "'[]'",
        "'null'",
        "'7'",
        "'[null, {\"a\": null}]'",
        "'{\"a\": 1e400}'",
        "('{\"a\":' || repeat('9', 5000) || '}')::jsonb",
        "('{\"a\":' || repeat('[', 2500) || repeat(']', 2500) || '}')::jsonb",
        f"jsonb_build_object('a', {LONG})",
    ],
    "bytea": ["''", f"{LONG}::bytea"],
    "uuid": [f"'{'-'.join(c * n for n in (8, 4, 4, 4, 12))}'" for c in "0f"],
    "boolean": ["'true'", "'false'"],
    "text[]": ["'{}'", "ARRAY[NULL, 'a']", f"ARRAY[{LONG}]", "array_fill('a'::text, ARRAY[9000])"],
    "int8multirange": ["'{}'", "'{(,)}'", "'{[1,2),[5,9223372036854775807)}'"],
}


def odd_values(table: str) -> list[tuple[str, str]]:
    """Each column of the table with each value at an end of its type, and with NULL."""
    columns = expected()["tables"][table]
    return [(name, odd) for name, c in columns.items() for odd in [*ENDS[c["type"]], "NULL"]]
