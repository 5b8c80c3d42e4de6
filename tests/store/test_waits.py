"""How many jobs are before one: in the order of claims, bounded, by an index."""

import asyncio
import json
import uuid
from collections.abc import Sequence
from typing import Any

import pytest

from hodei.store import waits
from hodei.store.database import Database
from hodei.store.parameters import numbered
from hodei.store.statements import KEEP_THE_PLAN, MOST
from hodei.store.waits import MOST_BEFORE, Before
from tests.conftest import Connection

ROW = """
INSERT INTO job_queue (job_id, priority, enqueued_at, labels, waiting, ready_at)
VALUES (%s, %s, now() - %s * interval '1 second', %s, %s, CASE WHEN %s::text IS NULL THEN NULL ELSE now() END)
"""


def queue(
    db: Connection, priority: int, age_s: int, waiting: str | None = None, **labels: str
) -> uuid.UUID:
    job_id = uuid.uuid4()
    db.execute(ROW, [job_id, priority, age_s, json.dumps(labels), waiting, waiting])
    return job_id


def before(
    url: str, job_id: uuid.UUID, *sets: dict[str, str], projects: Sequence[str] = ()
) -> Before | None:
    async def ask() -> Before | None:
        async with Database(url) as database:
            texts = [json.dumps(one) for one in sets]
            return await database.run(lambda conn: waits.before(conn, job_id, texts, projects))

    return asyncio.run(ask())


def test_those_of_higher_priority_and_the_older_ones_are_before_it(
    db: Connection, database_url: str
) -> None:
    for priority, age_s in ((5, 1), (5, 100), (0, 20), (0, 30), (0, 5), (-1, 500)):
        queue(db, priority, age_s)
    queue(db, 9, 900, "RUN_AT")
    queue(db, 5, 1, gpu="a100")
    mine = queue(db, 0, 10, zone='"a"\\')
    assert before(database_url, mine) == Before(5, more=False)
    assert before(database_url, mine, {"zone": '"a"\\'}) == Before(4, more=False)
    assert before(database_url, mine, {"zone": "b"}, {"gpu": "a100"}) == Before(5, more=False)
    assert before(database_url, queue(db, 9, 1, "BACKOFF")) is None
    assert before(database_url, uuid.uuid4()) is None


def test_workers_that_are_limited_to_projects_would_not_take_the_others(
    db: Connection, database_url: str
) -> None:
    mine, *others = (queue(db, 0, age_s) for age_s in (1, 2, 3, 4))
    for job_id, project in zip(others, ("web", "web", "shop"), strict=True):
        db.execute("UPDATE job_queue SET project = %s WHERE job_id = %s", [project, job_id])
    for projects, jobs in (((), 3), (("web",), 2), (("web", "shop"), 3), (("blue",), 0)):
        found = before(database_url, mine, {"zone": "a"}, projects=projects)
        assert found == Before(jobs, more=False)


@pytest.fixture
def many(db: Connection) -> uuid.UUID:
    """The job in the middle of 100,000."""
    db.execute(
        "INSERT INTO job_queue (job_id, priority, enqueued_at) "
        "SELECT hodei_uuid7(), n % 2, now() - n * interval '1 second' "
        "FROM generate_series(1, 100000) n"
    )
    db.execute("VACUUM ANALYZE job_queue")
    return queue(db, 0, 50_000)


def test_it_looks_at_a_bounded_part_of_the_queue(
    db: Connection, database_url: str, many: uuid.UUID
) -> None:
    assert before(database_url, many) == Before(MOST_BEFORE, more=True)
    text, names = numbered(waits.BEFORE)
    values: dict[str, Any] = {
        "job": f"'{many}'",
        "sets": "'{}'",
        "projects": "'{}'",
        "most": "1000",
    }
    for mode in ("force_custom_plan", "force_generic_plan"):
        with db.transaction(force_rollback=True):
            db.execute(KEEP_THE_PLAN, {"most": MOST})
            db.execute(f"SET LOCAL plan_cache_mode = {mode}".encode())
            db.execute(f"PREPARE asked AS {text}".encode())
            execute = f"EXECUTE asked ({', '.join(values[name] for name in names)})"
            ((plan,),) = db.execute(
                f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {execute}".encode()
            ).fetchall()
            db.execute("DEALLOCATE asked")
        used = plan[0]["Plan"]
        assert used["Shared Hit Blocks"] + used["Shared Read Blocks"] < 200, (mode, plan)


def test_the_last_of_many_is_found_by_its_own_range(
    db: Connection, database_url: str, many: uuid.UUID
) -> None:
    db.execute(
        "DELETE FROM job_queue WHERE priority = 1 OR enqueued_at < now() - interval '50010 s'"
    )
    found = before(database_url, many)
    assert found
    assert found.jobs < 10
    assert not found.more
