"""A missing index of a large table is left to a person: to build it keeps everybody from writing."""

import asyncio

import pytest
from loguru import logger

from hodei.store import large_tables, schema, schema_check
from hodei.store.expected import expected
from hodei.store.gaps import Gap
from tests.conftest import Connection
from tests.store.test_definitions import STANDS


def test_a_server_leaves_a_missing_index_of_a_large_table_to_a_person(
    db: Connection, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It makes what else is missing, and warns once."""
    db.execute("""SELECT hodei_enqueue('{"command": "true"}')""")
    monkeypatch.setattr(large_tables, "LARGE", 1)
    gone = "missing: index {} (a server does not build it: table {} is large); run `hodei db apply`"
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), level="WARNING", format="{message}")
    try:
        for name, table in [
            ("jobs_by_correlation", "jobs"),
            ("domain_events_by_time", "domain_events"),
        ]:
            db.execute(f"DROP INDEX {name}".encode())
            words = gone.format(name, table)
            for _ in range(2):
                assert asyncio.run(schema.ensure(database_url)) == STANDS
            db.execute("DROP FUNCTION hodei_ms CASCADE; DROP INDEX leases_by_worker")
            assert asyncio.run(schema.ensure(database_url)) == "applied schema version 1.6"
            assert schema_check.check_sync(database_url) == (False, words)
            assert schema.apply_sync(database_url) == "applied schema version 1.6"
            assert schema_check.check_sync(database_url).stands
            assert lines == [words + "\n"]
            lines.clear()
    finally:
        logger.remove(sink)


def test_of_each_index_that_a_server_may_leave_the_statement_is_found() -> None:
    for key, definition in expected()["indexes"].items():
        table, _, name = key.partition(".")
        if not definition.startswith("CREATE UNIQUE"):
            gap = Gap(f"index {name}", index_of=table, large=True)
            left = large_tables.without_indexes(schema.text(), [gap])
            assert len(schema.text()) - len(left) < 300
            assert f"IF NOT EXISTS {name} " not in left.replace("\n", " ")
