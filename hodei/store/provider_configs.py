"""Providers: the rows of provider_configs as servers look after them, one server a row at a time.

A row may be written by hand: texts are cut, and JSON leaves PostgreSQL as text. provider_view.py
has what callers see and change."""

import uuid
from collections.abc import Mapping, Sequence
from typing import LiteralString, NamedTuple

from psycopg.types.json import Jsonb

from hodei.domain import provider_seen
from hodei.domain.provider_seen import Seen
from hodei.domain.state_words import state_of
from hodei.domain.worker import WorkerState
from hodei.store.database import Connection
from hodei.store.parameters import array
from hodei.store.statements import brief_rows, guarded_rows, rows

MOST_PROVIDERS = 100
"""Rows that are looked after: those of the highest priority. The others wait until there are fewer,
which lists say of them."""

MOST_CONFIG = 20_000
"""Characters of a `config`. A longer one is cut, which makes it no JSON: the row is refused."""

LEASE_S = 30.0
"""Seconds for which a server has a row unless it says so again."""

LOOKED_AFTER: LiteralString = """
SELECT p.id
FROM provider_configs p
WHERE upper(btrim(p.status)) IN ('ACTIVE', 'PAUSED', 'DEGRADED')
ORDER BY p.priority DESC, p.id
LIMIT %(most_providers)s
"""


async def looked_after(conn: Connection) -> list[uuid.UUID]:
    """Returns the rows whose status is known, MOST_PROVIDERS at most."""
    found = await rows(conn, LOOKED_AFTER, {"most_providers": MOST_PROVIDERS})
    return [row[0] for row in found]


class Row(NamedTuple):
    """A row of provider_configs, and the time of the database."""

    id: uuid.UUID
    name: str
    provider_type: str
    config: str  # JSON
    status: str
    priority: int
    max_workers: int
    status_reason: str
    engine_id: str
    failures: int
    failed_ago_s: float | None
    seen: Seen
    now_s: float  # seconds since 1970


# The lease is committed before the engine is called. One that ends too far ahead was taken before
# the clock was set back.
TAKE_LEASE = """
UPDATE provider_configs p
SET reconciler_id = %(server)s::uuid,
    reconciler_until = clock_timestamp() + make_interval(secs => %(lease_s)s)
WHERE p.id = %(provider)s
  AND upper(btrim(p.status)) IN ('ACTIVE', 'PAUSED', 'DEGRADED')
  AND (p.reconciler_id IS NULL
       OR p.reconciler_id = %(server)s::uuid
       OR p.reconciler_until IS NULL
       OR p.reconciler_until < clock_timestamp()
       OR p.reconciler_until > clock_timestamp() + make_interval(secs => 2 * %(lease_s)s))
RETURNING p.id,
          left(p.name, 200),
          left(p.provider_type, 200),
          left(p.config::text, %(most_config)s),
          left(p.status, 200),
          p.priority,
          p.max_workers,
          p.status_reason,
          coalesce(p.engine_id, ''),
          p.failures,
          extract(epoch FROM clock_timestamp() - p.failed_at)::float8,
          p.seen,
          extract(epoch FROM clock_timestamp())::float8
"""


async def take_lease(conn: Connection, provider_id: uuid.UUID, server_id: uuid.UUID) -> Row | None:
    """Takes the lease of the row for this server, for LEASE_S seconds, or for as long again. None: another server
    has it, or it is gone, or its status is none that is looked after."""
    parameters = {
        "provider": provider_id,
        "server": server_id,
        "lease_s": LEASE_S,
        "most_config": MOST_CONFIG,
    }
    found = await brief_rows(conn, TAKE_LEASE, parameters)
    if not found:
        return None
    row = Row(*found[0])
    return row._replace(seen=provider_seen.read(row.seen))


SET_ENGINE = """
UPDATE provider_configs p
SET engine_id = %(engine)s
WHERE p.id = %(provider)s
  AND p.reconciler_id = %(server)s
  AND p.engine_id IS NULL
RETURNING p.id
"""


async def set_engine(
    conn: Connection, provider_id: uuid.UUID, server_id: uuid.UUID, engine_id: str
) -> bool:
    """Stores the id of the first engine that was reached. False: the row has one, or another server has
    the row."""
    parameters = {"provider": provider_id, "server": server_id, "engine": engine_id}
    return bool(await brief_rows(conn, SET_ENGINE, parameters))


class Conclusion(NamedTuple):
    """What a reconciliation of a provider came to."""

    reason: str  # why it makes no workers now; empty: it would
    degraded: bool
    failures: int
    failed_now: bool  # one more failure: its time is now
    seen: Seen
    keeps: bool = True  # the server looks after the row again; False: another may


# An operator may have changed the status meanwhile: PAUSED stays.
NOTE = """
UPDATE provider_configs p
SET status = CASE
        WHEN upper(btrim(p.status)) = 'ACTIVE' AND %(degraded)s THEN 'DEGRADED'
        WHEN upper(btrim(p.status)) = 'DEGRADED' AND NOT %(degraded)s THEN 'ACTIVE'
        ELSE p.status
    END,
    status_reason = %(reason)s,
    failures = %(failures)s,
    failed_at = CASE
        WHEN %(failures)s = 0 THEN NULL
        WHEN %(failed_now)s THEN clock_timestamp()
        ELSE p.failed_at
    END,
    seen = %(seen)s::jsonb,
    reconciler_id = CASE WHEN %(keeps)s THEN p.reconciler_id END,
    reconciler_until = CASE WHEN %(keeps)s THEN p.reconciler_until END
WHERE p.id = %(provider)s
  AND p.reconciler_id = %(server)s::uuid
"""


async def note(
    conn: Connection, provider_id: uuid.UUID, server_id: uuid.UUID, conclusion: Conclusion
) -> None:
    """Writes down what a reconciliation came to, unless another server has the row by now."""
    parameters = {
        "provider": provider_id,
        "server": server_id,
        **conclusion._asdict(),
        "seen": Jsonb(conclusion.seen.as_json()),
    }
    await brief_rows(conn, NOTE, parameters)


LEAVE = """
UPDATE provider_configs p
SET reconciler_id = NULL,
    reconciler_until = NULL
WHERE p.reconciler_id = %(server)s
"""


async def leave(conn: Connection, server_id: uuid.UUID) -> None:
    """Gives back what this server looks after."""
    await brief_rows(conn, LEAVE, {"server": server_id})


HEAD = 50_000
"""Ready jobs, in the order of claims, among which those are counted that a provider's workers could
run."""

READY_FOR_S = 1.0
"""Seconds that a job has been ready before it counts: any worker with a free slot has taken it by
then."""

# `before_us`: labels of workers of providers that come first and have room. Statistics of an empty
# queue would have all of it read and sorted.
DEMAND = """
SELECT count(*)
FROM (
    SELECT
    FROM (
        SELECT q.labels, q.enqueued_at
        FROM job_queue q
        WHERE q.waiting IS NULL
        ORDER BY q.priority DESC, q.enqueued_at, q.job_id
        LIMIT %(head)s
    ) h
    WHERE h.labels <@ %(labels)s::jsonb
      AND h.enqueued_at < clock_timestamp() - make_interval(secs => %(ready_for_s)s)
      AND NOT EXISTS (
          SELECT
          FROM jsonb_array_elements(%(before_us)s::jsonb) b (labels)
          WHERE h.labels <@ b.labels)
    LIMIT %(most)s
) d
"""


async def demand(
    conn: Connection,
    labels: Mapping[str, str],
    before_us: Sequence[Mapping[str, str]],
    most: int,
) -> int:
    """Returns how many ready jobs wait that a worker with these labels could run and no worker has
    taken: `most` at most, and without those for which a provider comes first (`before_us`)."""
    parameters = {
        "labels": Jsonb(dict(labels)),
        "before_us": Jsonb([dict(one) for one in before_us]),
        "head": HEAD,
        "ready_for_s": READY_FOR_S,
        "most": most,
    }
    ((found,),) = await guarded_rows(conn, (DEMAND, parameters))
    count: int = found[0]
    return count


OTHERS = """
SELECT p.id,
       p.seen,
       upper(btrim(p.status)) = 'ACTIVE'
           AND p.status_reason = ''
           AND p.reconciler_until > clock_timestamp()
           AND (p.priority, o.id) > (o.priority, p.id)
FROM provider_configs p
LEFT JOIN provider_configs o ON o.id = %(provider)s
LIMIT 10000
"""


class Other(NamedTuple):
    """Another provider, as the one that asks sees it."""

    id: uuid.UUID
    seen: Seen
    comes_first: bool  # it makes workers now, and has a higher priority, or the same and a lower id


async def all_providers(conn: Connection, provider_id: uuid.UUID) -> list[Other]:
    """Returns all providers, this one among them, which never comes first."""
    found = [Other(*row) for row in await rows(conn, OTHERS, {"provider": provider_id})]
    return [
        one._replace(seen=provider_seen.read(one.seen), comes_first=bool(one.comes_first))
        for one in found
    ]


class WorkerOnDemand(NamedTuple):
    """A worker that was made on demand, as servers know it."""

    worker_id: uuid.UUID
    state: WorkerState
    connected: bool
    revoked: bool
    has_heartbeat: bool  # a heartbeat of it has come
    draining: bool
    drained_by: str
    drained_for_s: float | None
    slots: int
    busy: int  # slots, of the larger of what it said and of what it holds
    quiet_s: float  # since its last change of state, or since it connected
    came_up_s: float  # when it registered, of the database's clock


WORKERS = """
SELECT w.id,
       w.state,
       w.connected,
       w.revoked_at IS NOT NULL,
       w.last_heartbeat IS NOT NULL,
       w.draining,
       coalesce(w.drained_by, ''),
       extract(epoch FROM clock_timestamp() - w.drained_at)::float8,
       w.slots,
       greatest(
           w.busy_slots,
           (SELECT count(*)::integer FROM leases l WHERE l.worker_id = w.id)),
       extract(
           epoch FROM clock_timestamp() - greatest(w.updated_at, w.connected_at))::float8,
       extract(epoch FROM w.created_at)::float8
FROM workers w
WHERE w.id = ANY (%(workers)s::uuid[])
"""


async def workers(conn: Connection, ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, WorkerOnDemand]:
    """Returns what servers know of these workers. One that is not in the answer never registered,
    or its row was deleted."""
    found = [WorkerOnDemand(*row) for row in await rows(conn, WORKERS, {"workers": array(ids)})]
    return {one.worker_id: one._replace(state=state_of(WorkerState, one.state)) for one in found}
