"""Plans of what is asked now and then of tables that grow: `hodei audit`, and what providers ask. Each
walks the order of an index until it has enough, or enters a table by a key."""

from typing import Any, LiteralString

from psycopg import sql

from hodei.store import audit_search, provider_configs
from hodei.store.parameters import numbered
from hodei.store.statements import KEEP_THE_PLAN, MOST
from tests.conftest import Connection
from tests.store.test_plans import ID, nodes

EVENTS = 200_000
"""Twice as many as one search looks at."""

FILL_EVENTS = """
INSERT INTO domain_events (occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
SELECT date_trunc('day', now(), 'UTC') + interval '12 hours' + n * interval '4 days' / %(many)s,
       'JobAssigned', n / 5, n / 5, 'cli:ana', '{}'
FROM generate_series(0, %(many)s - 1) n
"""
"""Of today and four days to come, which have their partitions, in the order of their ids. From noon to
noon: a day of few events would rightly be read as a whole."""

FILL_QUEUE = """
INSERT INTO job_queue (job_id, waiting, ready_at, labels)
SELECT gen_random_uuid(),
       CASE WHEN n % 5 = 0 THEN 'RUN_AT' END,
       CASE WHEN n % 5 = 0 THEN now() + interval '1 day' END,
       CASE WHEN n % 2 = 0 THEN '{}'::jsonb ELSE '{"zone": "a"}' END
FROM generate_series(1, 70000) n
"""

FILL_LEASES = """
WITH w AS (
    INSERT INTO workers (id) SELECT gen_random_uuid() FROM generate_series(1, 2000) RETURNING id
)
INSERT INTO leases (lease, job_id, worker_id, attempt, enqueued_at, offered_at, accept_by)
SELECT nextval('hodei_lease_seq'), gen_random_uuid(), w.id, 1, now(), now(), now()
FROM w, generate_series(1, 10)
"""

CUSTOM, GENERIC = "force_custom_plan", "force_generic_plan"


def planned(
    conn: Connection, statement: LiteralString, values: dict[str, Any], mode: str = CUSTOM
) -> list[dict[str, Any]]:
    """The nodes of a statement's plan."""
    text, names = numbered(statement)
    given = sql.SQL(", ").join(sql.Literal(values[name]) for name in names)
    conn.execute(f"SET plan_cache_mode = {mode}".encode())
    conn.execute(f"PREPARE planned AS {text}".encode())
    found = conn.execute(sql.SQL("EXPLAIN (FORMAT JSON) EXECUTE planned ({})").format(given))
    ((plan,),) = found.fetchall()
    conn.execute("DEALLOCATE planned")
    return list(nodes(plan[0]["Plan"]))


def scans(found: list[dict[str, Any]], alias: str) -> dict[str, str]:
    """How each partition of a table is entered, or the table: its index, or the kind of scan. One
    that is known to be empty is left out."""
    index_below: dict[str, str] = {}
    for node in found:
        if node.get("Alias", "").rstrip("_0123456789") == alias and node["Plan Rows"] > 1:
            index_below[node["Relation Name"]] = node.get("Index Name", node["Node Type"])
    return index_below


def sorts(found: list[dict[str, Any]], key: str) -> list[dict[str, Any]]:
    return [node for node in found if node["Node Type"] == "Sort" and key in node["Sort Key"]]


NO_FILTER = dict.fromkeys(("kinds", "actor", "since", "until", "before"))
ASKED = {**NO_FILTER, "with_jobs": False, "most_searched": EVENTS // 2, "most": 101}


def check_events(conn: Connection) -> None:
    hour = 3_600_000_000
    ((now,),) = conn.execute("SELECT (extract(epoch FROM now()) * 1e6)::bigint").fetchall()
    window = {"since": now + 47 * hour, "until": now + 48 * hour}
    wanted: list[dict[str, Any]] = [
        {},
        {"actor": "cli:ana", "kinds": "{KeyCreated}"},
        {"before": EVENTS // 2, "with_jobs": True},
        window,
    ]
    for more in wanted:
        found = planned(conn, audit_search.SEARCH, ASKED | more)
        days = scans(found, "e")
        assert days, found
        assert all(index == f"{day}_pkey" for day, index in days.items()), (more, days)
        assert not sorts(found, "e.id DESC"), (more, found)
        if more == window:
            assert len(days) <= 2, "an hour is of one day or of two"
    for more in ({}, window):
        found = planned(conn, audit_search.SEARCH_AGGREGATE, ASKED | {"about": "7"} | more)
        walked = [
            node
            for node in found
            if node["Node Type"] == "Seq Scan" and node["Plan Rows"] > 1 and node["Alias"] != "w"
        ]
        entered = {node.get("Index Name", "").partition("_aggregate")[1] for node in found}
        assert (walked, "_aggregate" in entered) == ([], True), (more, found)


def test_a_search_of_events_goes_along_the_primary_key_of_each_day(db: Connection) -> None:
    """Newest first, without a sort: it ends where it has enough. A time leaves out the other days, and
    what an event is about has an index of its own."""
    db.execute(FILL_EVENTS, {"many": EVENTS})
    check_events(db)
    db.execute("ANALYZE domain_events")
    check_events(db)


DEMAND = {
    "labels": '{"zone": "a"}',
    "before_us": '[{"zone": "b"}]',
    "head": provider_configs.HEAD,
    "ready_for_s": 1.0,
    "most": 10,
}


def test_the_demand_for_a_provider_is_read_along_the_ready_jobs(db: Connection) -> None:
    db.execute("VACUUM ANALYZE job_queue")
    db.execute(FILL_QUEUE)
    for statistics in ("of an empty table", "of now"):
        for mode in (CUSTOM, GENERIC):
            with db.transaction():
                db.execute(KEEP_THE_PLAN, {"most": MOST})
                found = planned(db, provider_configs.DEMAND, DEMAND, mode)
            assert scans(found, "q") == {"job_queue": "job_queue_ready"}, (statistics, mode, found)
            assert not [node for node in found if "Sort" in node["Node Type"]], (statistics, found)
        db.execute("VACUUM ANALYZE job_queue")


def test_a_providers_workers_are_entered_by_their_ids(db: Connection) -> None:
    db.execute(FILL_LEASES)
    for statistics in ("none", "of now"):
        for mode in (CUSTOM, GENERIC):
            found = planned(db, provider_configs.WORKERS, {"workers": f"{{{ID}}}"}, mode)
            entered = {node.get("Index Name") for node in found}
            assert {"workers_pkey", "leases_by_worker"} <= entered, (statistics, mode, found)
            assert not [node for node in found if node["Node Type"] == "Seq Scan"], found
        db.execute("VACUUM ANALYZE workers, leases")
