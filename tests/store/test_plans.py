"""Plans of the hot statements cannot flip: at no rows, 10,000 and 1,000,000, with statistics that
are fresh, missing or of another time, planned for these parameters or for any. Each table that
grows is entered by the key that the statement has, never walked."""

import json
from collections.abc import Iterator
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql

from hodei.domain.job import Outcome
from hodei.store import (
    accepts,
    cancel_many,
    claims,
    job_ids,
    job_logs,
    job_queue,
    job_search,
    releases,
    results,
    retention,
    retry_many,
    sessions,
    stray_leases,
    sweep,
)
from hodei.store.job_logs import Chunk
from hodei.store.parameters import arrays, numbered
from hodei.store.results import Result
from hodei.store.sessions import Heartbeat
from hodei.store.statements import KEEP_THE_PLAN, MOST
from tests.conftest import SCHEMA, Connection, url_of

GROWING = {"jobs", "job_queue", "leases", "workers", "domain_events", "job_logs"}

ID = "01890000-0000-7000-8000-000000000001"
A_RESULT = Result(1, ID, Outcome.SUCCEEDED, "worker:w", True)  # type: ignore[arg-type]
A_CLAIM = {
    "workers": "{" + ",".join([ID] * 40) + "}",
    "labels": "{}",
    "accept_within_s": 10,
    "avoid": "{}",
}
MANY = "{" + ",".join([ID] * 40) + "}"
A_CANCEL = {"jobs": MANY, "states": "{PENDING}", "actor": "a", "said": "{}"}
A_CHUNK = Chunk(1, ID, 0, 1, 0, 1, 1, b"")  # type: ignore[arg-type]


def several(record: tuple[Any, ...], fields: tuple[str, ...], many: int = 40) -> dict[str, Any]:
    return arrays(fields, [record] * many)


# statement → parameters, and the one table that it may walk in the order of an index (the claim:
# from the head of the ready rows)
HOT: dict[str, tuple[LiteralString, dict[str, Any], str]] = {
    "claim": (
        claims.CLAIM,
        {
            "workers": "{" + ",".join([ID] * 40) + "}",
            "labels": "{}",
            "accept_within_s": 10,
            "avoid": "{}",
        },
        "job_queue",
    ),
    "claim beyond": (claims.CLAIM_BEYOND, A_CLAIM | {"priority": 0, "enqueued_us": 1}, ""),
    "accept": (
        accepts.ACCEPT,
        several((1, ID), ("leases", "workers")) | {"margin_s": 10, "grace_ms": 10000},
        "",
    ),
    "result": (
        results.RESULT,
        several(A_RESULT, Result._fields)
        | {
            "max_losses": 10,
            "max_lone_losses": 3,
            "lone_within_s": 5,
            "unasked": "",
            "unlimited": "",
        },
        "",
    ),
    "release": (
        releases.RELEASE,
        several((1, ID), ("leases", "workers")) | {"reason": "r", "actor": "a"},
        "",
    ),
    "append": (job_logs.APPEND, several(A_CHUNK[:-1], Chunk._fields[:-1]) | {"data": "{}"}, ""),
    "beat": (
        sessions.BEAT,
        several((ID, 1, 0, False, None), Heartbeat._fields)
        | {"held": "{}", "held_by": "{}", "known_within_s": 15},
        "",
    ),
    "cancel queued": (cancel_many.QUEUED, A_CANCEL, ""),
    "cancel in flight": (cancel_many.IN_FLIGHT, A_CANCEL, ""),
    "cancel stray": (cancel_many.STRAY, A_CANCEL, ""),
    "cancel: states": (cancel_many.STATES, {"jobs": MANY}, ""),
    "retry: create": (
        retry_many.CREATE,
        {"old": MANY, "new": MANY, "actor": "a", "said": "{}"},
        "",
    ),
    "retry: origins": (retry_many.NAME_ORIGINS, {"old": MANY, "new": MANY}, ""),
    "retry: old": (retry_many.OLD, {"old": MANY}, ""),
    "unknown": (stray_leases.UNKNOWN, several((1, ID), ("leases", "workers")), ""),
}


def explained(conn: Connection, name: str, mode: str) -> dict[str, Any]:
    statement, parameters, _ = HOT[name]
    text, names = numbered(statement)
    values = sql.SQL(", ").join(
        sql.Literal(parameters[n] if isinstance(parameters[n], int | bool) else str(parameters[n]))
        for n in names
    )
    with conn.transaction(force_rollback=True):
        conn.execute(KEEP_THE_PLAN, {"most": MOST})
        conn.execute(f"SET LOCAL plan_cache_mode = {mode}".encode())
        conn.execute(f"PREPARE hot AS {text}".encode())
        ((plan,),) = conn.execute(
            sql.SQL("EXPLAIN (FORMAT JSON) EXECUTE hot ({})").format(values)
        ).fetchall()
        conn.execute("DEALLOCATE hot")
    found: dict[str, Any] = plan[0]["Plan"]
    return found


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def walks(plan: dict[str, Any], allowed: str) -> list[str]:
    """Scans of growing tables without a key."""
    found = []
    for node in nodes(plan):
        table = str(node.get("Relation Name", ""))
        table = next(
            (name for name in GROWING if table == name or table.startswith(f"{name}_2")), table
        )
        if table not in GROWING or node["Node Type"] == "ModifyTable" or "Index Cond" in node:
            continue
        if table == allowed and node.get("Index Name") == "job_queue_ready":
            continue
        found.append(f"{node['Node Type']} {node.get('Index Name', '')} on {table}")
    return found


FILL = """
WITH n AS (SELECT n, hodei_uuid7() AS id FROM generate_series(1, %(many)s) n), j AS (
    INSERT INTO jobs (id, name, spec, correlation_id, actor, state, completed_at)
    SELECT id, 'j', '{"command": "true"}', id::text, 'sql:test', 'SUCCEEDED', clock_timestamp() FROM n
)
INSERT INTO job_queue (job_id) SELECT id FROM n
"""
FILL_LEASES = """
INSERT INTO leases (lease, job_id, worker_id, attempt, enqueued_at, offered_at, accept_by)
SELECT nextval('hodei_lease_seq'), hodei_uuid7(), hodei_uuid7(), 1, now(), now(), now() FROM generate_series(1, %(many)s)
"""
FILL_WORKERS = "INSERT INTO workers (id) SELECT hodei_uuid7() FROM generate_series(1, %(many)s)"


@pytest.fixture(scope="module")
def grown(pg_server: Any) -> Iterator[Connection]:
    """A database of this module's own: it grows from test to test."""
    admin = psycopg.connect(
        host=pg_server.host,
        port=pg_server.port,
        user=pg_server.user,
        password=pg_server.password,
        dbname="postgres",
        autocommit=True,
    )
    admin.execute("DROP DATABASE IF EXISTS hodei_plans")
    admin.execute("CREATE DATABASE hodei_plans")
    with psycopg.connect(
        url_of(admin).rpartition("/")[0] + "/hodei_plans", autocommit=True
    ) as conn:
        conn.execute(SCHEMA.read_bytes())
        yield conn
    admin.execute("DROP DATABASE hodei_plans WITH (FORCE)")
    admin.close()


def fill(conn: Connection, jobs: int, rows: int) -> None:
    for table in ("jobs", "job_queue", "leases", "workers"):
        conn.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)".encode())
    conn.execute(FILL, {"many": jobs})
    conn.execute(FILL_LEASES, {"many": rows})
    conn.execute(FILL_WORKERS, {"many": rows})


def check(conn: Connection, scene: str) -> None:
    wrong = {}
    for name in HOT:
        for mode in ("force_custom_plan", "force_generic_plan"):
            plan = explained(conn, name, mode)
            if found := walks(plan, HOT[name][2]):
                wrong[f"{scene}: {name}, {mode}"] = found
    assert not wrong, json.dumps(wrong, indent=2)


def test_of_a_new_database(grown: Connection) -> None:
    check(grown, "never analysed")
    grown.execute("VACUUM ANALYZE")
    check(grown, "vacuumed empty")


def test_of_statistics_from_when_it_was_empty(grown: Connection) -> None:
    fill(grown, 10_000, 2_000)
    check(grown, "10 k, statistics of an empty table")
    grown.execute("ANALYZE")
    check(grown, "10 k")


def test_of_a_queue_that_was_vacuumed_empty(grown: Connection) -> None:
    grown.execute("DELETE FROM job_queue")
    grown.execute("DELETE FROM leases")
    grown.execute("VACUUM job_queue, leases")
    check(grown, "vacuumed empty, statistics of 10 k")
    grown.execute("VACUUM ANALYZE job_queue, leases")
    check(grown, "vacuumed empty and analysed, many jobs")
    fill(grown, 10_000, 2_000)
    check(grown, "10 k again, statistics of an empty table")


def test_sweeps_do_not_walk_what_is_not_due(grown: Connection) -> None:
    """Not under the guard: at these sizes the planner takes the index by itself, if it can be
    entered by the time that is asked for."""
    grown.execute(
        """
        INSERT INTO job_queue (job_id, waiting, ready_at, expires_at)
        SELECT hodei_uuid7(), 'RUN_AT', now() + interval '1 day', now() + interval '2 days'
        FROM generate_series(1, 50000)
        """
    )
    grown.execute("ANALYZE job_queue")
    for statement in (sweep.LOOK, job_queue.DUE, job_queue.EXPIRED):
        text = statement % {
            "unreachable_after_s": 30,
            "margin_s": 30,
            "beat_every_s": 5,
            "gap_s": 15,
            "accept_within_s": 10,
        }
        ((plan,),) = grown.execute(b"EXPLAIN (FORMAT JSON) " + text.encode()).fetchall()
        timed = ("job_queue_waiting", "job_queue_expires")
        found = [node for node in nodes(plan[0]["Plan"]) if node.get("Index Name") in timed]
        assert found, text
        assert all("statement_timestamp()" in node.get("Index Cond", "") for node in found), found
    grown.execute("DELETE FROM job_queue WHERE waiting IS NOT NULL")


@pytest.mark.long
def test_of_a_million(grown: Connection) -> None:
    fill(grown, 1_000_000, 10_000)
    check(grown, "1 M, statistics of before")
    grown.execute("VACUUM ANALYZE")
    check(grown, "1 M")


@pytest.fixture
def many(grown: Connection) -> Connection:
    """With twice as many jobs as a search reads at most, also where another process has run the
    tests before: where all are read, a sort may be cheaper than the index."""
    ((jobs,),) = grown.execute("SELECT count(*) FROM jobs").fetchall()
    if jobs < 200_000:
        fill(grown, 200_000 - jobs, 10_000)
        grown.execute("VACUUM ANALYZE")
    return grown


def test_a_search_of_jobs_goes_along_an_index_and_ends(many: Connection) -> None:
    """As it is planned for its parameters: in the order of the list, without a sort of jobs."""
    nothing = dict.fromkeys(
        (
            *("states", "reasons", "workers", "name", "labels", "label_names", "since", "until"),
            *("actor", "project"),
        )
    )
    asked = {**nothing, "before": ID, "most_searched": 100_000, "most": 20, "name": "x%"}
    for statement, index, more in (
        (job_search.SEARCH, "jobs_newest_first", {"since": 1, "until": 2}),
        (job_search.SEARCH, "jobs_newest_first", {"before": None}),
        (job_search.SEARCH, "jobs_of_project", {"before": None, "project": "web"}),
        (job_search.SEARCH_RUNNING, "jobs_pkey", {"states": "{RUNNING}", "before": None}),
        (job_search.SEARCH_LIVE, "jobs_pkey", {"states": "{RUNNING}", "before": None}),
        (job_search.SEARCH_CORRELATED, "jobs_by_correlation", {"correlation_id": "c"}),
        (job_ids.NEWEST_OF, "jobs_newest_first", {"actor": "cli:ana"}),
        (job_ids.NEWEST_OF, "jobs_of_project", {"actor": "cli:ana", "project": "web"}),
    ):
        text, names = numbered(statement)
        values = sql.SQL(", ").join(sql.Literal((asked | more)[name]) for name in names)
        many.execute(f"PREPARE search AS {text}".encode())
        found = many.execute(sql.SQL("EXPLAIN (FORMAT JSON) EXECUTE search ({})").format(values))
        many.execute("DEALLOCATE search")
        ((plan,),) = found.fetchall()
        scans = [one for one in nodes(plan[0]["Plan"]) if one.get("Alias") == "j"]
        assert [one["Index Name"] for one in scans] == [index], plan
        if index in ("jobs_newest_first", "jobs_of_project"):
            assert not [one for one in nodes(plan[0]["Plan"]) if "Sort" in one["Node Type"]], plan


def test_retention_does_not_look_at_the_young(many: Connection) -> None:
    text = retention.DELETE_JOBS % {"days": 30, "most": 1000}
    ((plan,),) = many.execute(b"EXPLAIN (FORMAT JSON) " + text.encode()).fetchall()
    conditions = {
        node["Index Name"]: node.get("Index Cond", "")
        for node in nodes(plan[0]["Plan"])
        if "Index Name" in node
    }
    assert "statement_timestamp()" in conditions["jobs_newest_first"], plan
    assert "ANY" in conditions["jobs_pkey"], plan
