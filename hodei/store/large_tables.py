"""A missing index of a large table: to build it keeps everybody from writing to that table for as
long as that takes, so that a server leaves it to `hodei db apply`."""

import re
from collections.abc import Iterable
from typing import LiteralString

from hodei.store.connecting import Connection
from hodei.store.gaps import Gap
from hodei.store.untimed import untimed

LARGE = 100 << 20
"""Bytes of a table, with all its days, from which on a server builds no index of it. An index of a
table just below that takes a second."""

# By name in the current schema; a day's bytes count as its table's.
SIZES: LiteralString = """
SELECT c.relname
FROM pg_class c
JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
WHERE c.relname = ANY (%(tables)s)
  AND pg_relation_size(c.oid) + coalesce(
      (SELECT sum(pg_relation_size(t.relid)) FROM pg_partition_tree(c.oid) t), 0) >= %(large)s
"""


def marked(conn: Connection, gaps: list[Gap]) -> list[Gap]:
    """Returns the gaps; those are `large` that are a missing index of a large table. A unique one is
    not: statements rely on it."""
    if not (tables := [gap.index_of for gap in gaps if gap.index_of]):
        return gaps
    with untimed(conn):
        large = {row[0] for row in conn.execute(SIZES, {"tables": tables, "large": LARGE})}
    return [gap._replace(large=gap.index_of in large) for gap in gaps]


def without_indexes(text: str, gaps: Iterable[Gap]) -> str:
    """Returns schema.sql without the statements that make the missing indexes of large tables."""
    for gap in gaps:
        if gap.large:
            name = re.escape(gap.what.removeprefix("index "))
            text = re.sub(rf"\nCREATE INDEX IF NOT EXISTS {name}\s[^;]*;", "", text)
    return text
