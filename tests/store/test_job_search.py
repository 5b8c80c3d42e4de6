"""A search finds what a reader of all rows would find, whatever its bounds are, each job once."""

import fnmatch
import itertools
import json
import random
import uuid
from dataclasses import replace
from typing import Any

import pytest

from hodei.domain.job import JobState, Reason
from hodei.flow.job_filter import like
from hodei.store import job_ids, job_search
from hodei.store.database import Connection as AsyncConnection
from hodei.store.job_search import Filter
from tests.conftest import Connection
from tests.factories import on

NAMES = ("a", "ab", "a%b", "a_b", "a\\b", "[ab]", "*", "?", "日本", "A", "a" * 200)
ACTORS = ("cli:a", "cli:a:b", "cli:ab", "sql:a%")
LABELS: tuple[Any, ...] = ({}, {"x": "1"}, {"x": "2", "y": ""}, {"y": '"'}, [1], "x", None)
WORKERS = tuple(uuid.UUID(int=n) for n in range(1, 4))
JOBS = 150


def made(chance: random.Random, number: int) -> dict[str, Any]:
    """A job; several are created in the same microsecond."""
    state = chance.choice(["PENDING", "SUCCEEDED", "FAILED"])
    labels = chance.choice(LABELS)
    return {
        "id": uuid.UUID(int=chance.getrandbits(128)),
        "name": chance.choice(NAMES),
        "state": state,
        "reason": chance.choice([*Reason]) if state == "FAILED" else None,
        "spec": {} if labels is None else {"labels": labels},
        "actor": chance.choice(ACTORS),
        "correlation_id": chance.choice("cd"),
        "worker_id": chance.choice([None, *WORKERS]),
        "at": number // 3 * 1_000_000,
    }


INSERT = """
INSERT INTO jobs (
    id, name, state, reason, spec, actor, correlation_id, worker_id, created_at, completed_at)
SELECT r.id, r.name, r.state, r.reason, r.spec, r.actor, r.correlation_id, r.worker_id,
       timestamptz 'epoch' + r.at * interval '1 microsecond',
       CASE WHEN r.state <> 'PENDING' THEN now() END
FROM jsonb_to_recordset(%s::jsonb) AS r (
    id uuid, name text, state text, reason text, spec jsonb, actor text, correlation_id text,
    worker_id uuid, at bigint)
"""


@pytest.fixture
def jobs(db: Connection) -> list[dict[str, Any]]:
    """Newest first."""
    chance = random.Random(7)
    every = [made(chance, number) for number in range(JOBS)]
    db.execute(INSERT, [json.dumps(every, default=str)])
    db.execute("INSERT INTO job_queue (job_id) SELECT id FROM jobs WHERE state = 'PENDING'")
    return sorted(every, key=lambda job: (job["at"], job["id"].int), reverse=True)


def some_filter(chance: random.Random) -> tuple[Filter, str]:
    """A filter, and the glob of its name."""
    glob = chance.choice(
        ["*", "a*", "?", "a?b", "*b*", "a%b", "a_b", "*\\*", "[ab]", "日*", "**a**"]
    )
    full = Filter(
        states=chance.choice([*itertools.permutations(JobState, 2), (JobState.PENDING,)]),
        reasons=chance.sample([*Reason], 6),
        workers=chance.sample(WORKERS, 2),
        name_like=like(glob),
        labels=chance.choice([{"x": "1"}, {"y": ""}, {"x": "2", "y": ""}]),
        label_names=chance.choice([["x"], ["x", "y"]]),
        since=chance.randrange(20_000_000),
        until=chance.randrange(30_000_000, 50_000_000),
        actor=chance.choice(ACTORS),
        correlation_id="c",
    )
    empty = Filter()
    kept = chance.sample([*Filter.__slots__], chance.randrange(4))
    wanted = replace(empty, **{name: getattr(full, name) for name in kept})
    return wanted, glob if "name_like" in kept else "*"


def is_wanted(job: dict[str, Any], wanted: Filter, glob: str) -> bool:
    labels = job["spec"].get("labels")
    named = labels if isinstance(labels, dict) else {}
    keys = {labels} if isinstance(labels, str) else set(named)  # a text counts as a name of a label
    literal = glob.replace("[", "[[]")
    return all(
        (
            not wanted.states or job["state"] in wanted.states,
            not wanted.reasons or job["reason"] in wanted.reasons,
            wanted.workers is None or job["worker_id"] in wanted.workers,
            fnmatch.fnmatchcase(job["name"], literal),
            wanted.labels.items() <= named.items(),
            set(wanted.label_names) <= keys,
            wanted.since is None or job["at"] >= wanted.since,
            wanted.until is None or job["at"] < wanted.until,
            wanted.actor is None
            or job["actor"] == wanted.actor
            or job["actor"].startswith(f"{wanted.actor}:"),
            wanted.correlation_id is None or job["correlation_id"] == wanted.correlation_id,
        )
    )


async def every(
    conn: AsyncConnection, wanted: Filter, most_searched: int, most: int
) -> list[uuid.UUID]:
    """What searches find, one after the other."""
    found: list[uuid.UUID] = []
    before = None
    for _ in range(JOBS + 2):
        one = await job_search.search(conn, wanted, before, most_searched, most)
        found += [job.id for job in one.jobs]
        assert len(one.jobs) <= most
        assert one.searched in (0, most_searched)
        before = one.stopped_at or (one.jobs[-1].id if len(one.jobs) == most else None)
        if before is None:
            return found
    raise AssertionError("it does not end")


def test_searches_find_what_is_wanted_each_once_in_order(
    database_url: str, jobs: list[dict[str, Any]]
) -> None:
    chance = random.Random(11)

    async def compare(conn: AsyncConnection) -> int:
        hits = 0
        for _ in range(60):
            wanted, glob = some_filter(chance)
            expected = [job["id"] for job in jobs if is_wanted(job, wanted, glob)]
            bounds = chance.choice([(JOBS * 2, 1000), (7, 1000), (1, 3), (50, 5), (JOBS, 1)])
            assert await every(conn, wanted, *bounds) == expected, (wanted, glob, bounds)
            hits += bool(expected)
        return hits

    assert on(database_url, compare) > 20


def test_jobs_that_have_not_ended_are_found_among_any_number_that_have(
    database_url: str, db: Connection, jobs: list[dict[str, Any]]
) -> None:
    db.execute("UPDATE jobs SET created_at = now() WHERE completed_at IS NOT NULL")
    waiting = [job["id"] for job in jobs if job["state"] == "PENDING"]
    live = Filter(states=[JobState.PENDING, JobState.RUNNING])
    run = waiting.pop()
    db.execute("UPDATE jobs SET state = 'RUNNING', lease = 1 WHERE id = %s", [run])
    db.execute("DELETE FROM job_queue WHERE job_id = %s", [run])
    db.execute(
        "INSERT INTO leases (lease, job_id, worker_id, attempt, enqueued_at, offered_at, accept_by)"
        " VALUES (1, %s, gen_random_uuid(), 1, now(), now(), now())",
        [run],
    )
    count = len(waiting)

    async def find(conn: AsyncConnection) -> list[job_search.Search]:
        few = await job_search.search(conn, live, None, count + 2, 1000)
        await conn.execute(
            "INSERT INTO job_queue (job_id) SELECT gen_random_uuid() FROM generate_series(1, %s)",
            [job_search.MOST_LIVE],
        )
        many = await job_search.search(conn, live, None, count + 2, 1000)
        running = Filter(states=[JobState.RUNNING])
        return [few, many, await job_search.search(conn, running, None, count, 1000)]

    few, many, running = on(database_url, find)
    assert ([job.id for job in few.jobs], few.searched) == ([*waiting, run], 0)
    assert (many.jobs, many.searched) == ([], count + 2)
    assert ([job.id for job in running.jobs], running.searched) == ([run], 0)


def test_a_cursor_that_is_no_job_finds_nothing(
    database_url: str, jobs: list[dict[str, Any]]
) -> None:
    nobody = uuid.UUID(int=1)
    found = on(database_url, lambda conn: job_search.search(conn, Filter(), nobody, 100, 10))
    assert found == job_search.Search([], None, 0)


def test_workers_are_found_by_name_and_by_parts_of_their_ids(
    database_url: str, db: Connection
) -> None:
    ids = [uuid.UUID(f"0198{n:04x}-0000-7000-8000-0000ab00000{n}") for n in range(3)]
    for worker, name in zip(ids, ("w", "w", "0198"), strict=True):
        db.execute("INSERT INTO workers (id, name) VALUES (%s, %s)", [worker, name])

    def named(*texts: str) -> set[uuid.UUID]:
        found = on(database_url, lambda conn: job_search.workers_named(conn, texts))
        assert {text for text, _ in found} <= set(texts)
        return {worker for _, worker in found}

    assert named("w") == {*ids[:2]}
    assert named("01980001") == {ids[1]}
    assert named("019800") == {*ids}
    assert named("AB000002", "w") == {*ids}
    assert named("0198") == {ids[2]}, "a name; as a part of an id it is too short"
    assert named("0198000100007000") == named("01980001-00007") == {ids[1]}, "dashes do not count"
    assert named("80000000ab000002") == named("8000-0000ab000002") == {ids[2]}
    assert named("%", "_", "W", "", "b000002", "000000", "------", "01-98-0") == set()


def test_an_end_of_an_id_is_found_among_the_newest_jobs_alone(
    database_url: str, db: Connection
) -> None:
    old, hundred = "01980000-0000-7000-8000-0000deadbeef", job_ids.NEWEST
    db.execute(
        """
        INSERT INTO jobs (id, name, spec, correlation_id, actor, state, completed_at, created_at)
        SELECT CASE WHEN n = 0 THEN %s ELSE hodei_uuid7() END, 'j', '{}', 'c',
               CASE WHEN n = 0 THEN 'cli:ana' ELSE 'cli:eve' END, 'SUCCEEDED', now(),
               now() + n * interval '1 ms'
        FROM generate_series(0, %s) n
        """,
        [old, hundred],
    )
    part = job_ids.Part(None, None, "deadbeef")
    whole = job_ids.Part(uuid.UUID(old), uuid.UUID(old), None)

    async def find(conn: AsyncConnection) -> tuple[int, int, bool]:
        by_end, by_beginning = await job_ids.meant(conn, [part, whole])
        return len(by_end), len(by_beginning), bool(await job_ids.newest_of(conn, "cli:ana"))

    assert on(database_url, find) == (0, 1, False)
    db.execute("DELETE FROM jobs WHERE id = (SELECT id FROM jobs ORDER BY created_at DESC LIMIT 1)")
    assert on(database_url, find) == (1, 1, True)
