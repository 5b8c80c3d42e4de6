"""Two connections, each pair of statements that lock: the first holds its transaction open, the
second comes, the first commits (in tests/hostile/test_store.py it rolls back).

No deadlock, both end, and what is left is sound.
"""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from itertools import product
from typing import Any

import psycopg
import pytest

from hodei.domain.spec import normalise
from hodei.store import (
    accepts,
    cancels,
    creation,
    job_logs,
    late_results,
    leases,
    rejections,
    releases,
    results,
    sessions,
    silent_workers,
    stray_leases,
    sweep,
    workers,
)
from hodei.store.claims import Offer
from hodei.store.database import Connection
from hodei.store.job_logs import Chunk
from hodei.store.late_results import Late
from hodei.store.leases import Claimant
from tests.factories import (
    NOW_US,
    SECRET_HASH,
    AWorker,
    assigned_job,
    claim,
    expire,
    pending_job,
    promote,
    ready_worker,
    running_job,
    word,
)
from verify.checker import violations

STATES = ["queued", "offered", "running"]
"""Of the job, before the pair."""

Verb = Callable[[Connection, AWorker, uuid.UUID, Offer | None], Awaitable[object]]
LIMITS: dict[str, Any] = {"retries": 1, "queue_timeout": 60, "timeout": 60, "start_timeout": 60}
NOBODY = Offer(0, uuid.UUID(int=0), uuid.UUID(int=0), 1, "", "", "{}")


def said(worker: AWorker, offer: Offer | None) -> Claimant:
    return Claimant((offer or NOBODY).lease, worker.id)


def chunk(worker: AWorker, offer: Offer | None) -> Chunk:
    return Chunk((offer or NOBODY).lease, worker.id, 0, 1, 0, 1, NOW_US, b"x")


VERBS: dict[str, Verb] = {
    "claim": lambda c, w, _j, _o: claim(c, [w.id]),
    "accept": lambda c, w, _j, o: accepts.accept(c, [said(w, o)]),
    "succeed": lambda c, _w, _j, o: results.record_results(c, [word(o or NOBODY)]),
    "fail": lambda c, _w, _j, o: results.record_results(c, [word(o or NOBODY, "FAILED")]),
    "lose": lambda c, _w, _j, o: results.record_results(
        c, [word(o or NOBODY, "LOST", actor="system:job_rescuer")]
    ),
    "release": lambda c, w, _j, o: releases.release(c, [said(w, o)], "x", "system:job_rescuer"),
    "late result": lambda c, _w, j, o: late_results.record_late(c, Late(j, word(o or NOBODY))),
    "log": lambda c, w, _j, o: job_logs.append(c, [chunk(w, o)]),
    "late log": lambda c, w, j, o: job_logs.append_late(c, j, [chunk(w, o)]),
    "cancel queued": lambda c, _w, j, _o: cancels.cancel_queued(c, j, "cli:ana"),
    "cancel": lambda c, _w, j, _o: cancels.request_cancel(c, j, "cli:ana"),
    "cancel delivered": lambda c, w, _j, o: leases.cancel_delivered(
        c, w.id, [said(w, o).lease], stopping=True
    ),
    "renew": lambda c, w, _j, o: leases.renew_offers(c, [said(w, o)], 10.0),
    "forgotten": lambda c, w, _j, _o: stray_leases.forgotten(c, [w.id], []),
    "expire": lambda c, _w, _j, _o: expire(c),
    "promote": lambda c, _w, _j, _o: promote(c),
    "beat": lambda c, w, _j, o: sessions.beat(
        c, [sessions.Heartbeat(w.id, w.session, 1, draining=False, current_job_id=None)], []
    ),
    "judge silent": lambda c, _w, _j, _o: silent_workers.judge_silent(c, 0.0, 0.001),
    "drain": lambda c, w, _j, _o: workers.drain(c, w.id, "cli:ana"),
    "create again": lambda c, _w, j, _o: creation.create(
        c, [creation.NewJob(j, "cli:test", normalise({"command": "true", **LIMITS}).normal)]
    ),
    "name origin": lambda c, _w, j, _o: creation.name_origin(c, j, j),
    "started": lambda c, w, _j, o: leases.started(c, w.id, [said(w, o).lease]),
    "connect": lambda c, w, _j, _o: sessions.connect(
        c, sessions.Greeting(w.id, SECRET_HASH, uuid.uuid4(), "w", "0", 4, 0, {}), 0.0
    ),
    "leave": lambda c, w, _j, _o: sessions.leave(c, w.id, w.session),
    "disconnect": lambda c, w, _j, _o: sessions.disconnect(c, w.id, w.session),
    "revoke": lambda c, w, _j, _o: workers.revoke(c, w.id, "cli:ana"),
    "look": lambda c, _w, _j, _o: sweep.look(c, 30, 30),
    "vouch": lambda c, w, _j, _o: sessions.vouch(c, [(w.id, w.session)]),
    "set aside": lambda c, _w, j, _o: rejections.set_aside(c, [j], "x", "system:job_rescuer"),
}


EMPTY = """
DELETE FROM job_logs; DELETE FROM leases; DELETE FROM job_queue; DELETE FROM domain_events;
DELETE FROM jobs; DELETE FROM workers; DELETE FROM worker_bootstrap_tokens; DELETE FROM hodei_listening
"""
"""Empties the tables between two pairs: of a few rows faster than TRUNCATE, which makes a new file for
each table, index and partition."""


async def prepared(conn: Connection, state: str) -> tuple[AWorker, uuid.UUID, Offer | None]:
    await conn.execute(EMPTY)
    worker = await ready_worker(conn)
    if state == "queued":
        job_id = await pending_job(conn, **LIMITS)
        await conn.execute("UPDATE job_queue SET expires_at = now() - interval '1 s'")
        return worker, job_id, None
    offer = await (assigned_job if state == "offered" else running_job)(conn, worker, **LIMITS)
    await conn.execute("UPDATE leases SET accepted_at = accepted_at - interval '1 minute'")
    return worker, offer.job_id, offer


async def interleave(
    first: Connection, second: Connection, one: Verb, other: Verb, state: str, *, commit: bool
) -> str:
    """Empty when all is well."""
    worker, job_id, offer = await prepared(first, state)
    trouble = ""
    try:
        async with (
            asyncio.timeout(10.0),
            asyncio.TaskGroup() as group,
            first.transaction(force_rollback=not commit),
        ):
            await one(first, worker, job_id, offer)
            task = group.create_task(_other(second, other, worker, job_id, offer))
            await asyncio.wait({task}, timeout=0.02)
    except* (psycopg.Error, TimeoutError) as errors:
        trouble = repr(errors.exceptions[0])
    return trouble


async def _other(
    conn: Connection, verb: Verb, worker: AWorker, job_id: uuid.UUID, offer: Offer | None
) -> None:
    await verb(conn, worker, job_id, offer)


async def what_is_wrong(database_url: str, state: str, *, commit: bool) -> list[str]:
    """With any pair of statements, of which the first commits or rolls back."""
    wrong = []
    connect = psycopg.AsyncConnection.connect
    async with (
        await connect(database_url, autocommit=True) as first,
        await connect(database_url, autocommit=True) as second,
    ):
        with psycopg.connect(database_url, autocommit=True) as judge:
            for (name, one), (other_name, other) in product(VERBS.items(), repeat=2):
                trouble = await interleave(first, second, one, other, state, commit=commit)
                wrong += [
                    f"{name} then {other_name}: {words}"
                    for words in [trouble, *violations(judge)]
                    if words
                ]
    return wrong


@pytest.mark.parametrize(
    "state", ["queued", "running", pytest.param("offered", marks=pytest.mark.long)]
)
def test_each_pair_of_statements(database_url: str, state: str) -> None:
    assert asyncio.run(what_is_wrong(database_url, state, commit=True)) == []
