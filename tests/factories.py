"""Legal rows only: jobs and workers in each state, brought there by the store's own statements."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import psycopg

from hodei.domain.ids import uuid7
from hodei.domain.job import Outcome
from hodei.domain.spec import normalise
from hodei.store import (
    accepts,
    claims,
    creation,
    job_queue,
    leases,
    results,
    sessions,
    silent_workers,
    sweep,
    worker_bootstrap_tokens,
    worker_credentials,
)
from hodei.store.database import Connection

T = TypeVar("T")
SECRET_HASH = b"h" * 32
NOW_US = 1_790_000_000_000_000
"""When log chunks of tests were read: of 2026."""


def on(url: str, work: Callable[[Connection], Awaitable[T]]) -> T:
    """Runs store functions on a connection of their own, each statement its own transaction."""

    async def run() -> T:
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as conn:
            return await work(conn)

    return asyncio.run(run())


@dataclass
class AWorker:
    id: uuid.UUID
    session: int


async def ready_worker(
    conn: Connection, *, name: str = "w", slots: int = 4, labels: dict[str, str] | None = None
) -> AWorker:
    me = uuid7()
    token = await worker_bootstrap_tokens.mint(conn, uuid.UUID(int=0), 3600, "test")
    newcomer = worker_bootstrap_tokens.Newcomer(me, SECRET_HASH, name, "0")
    assert await worker_bootstrap_tokens.redeem(conn, token.token, newcomer)
    greeting = sessions.Greeting(me, SECRET_HASH, uuid7(), name, "0", slots, 0, labels or {})
    session = await sessions.connect(conn, greeting, 25.0)
    assert session
    await sweep.look(conn, 30, 30)
    return AWorker(me, session.session)


async def renewed(conn: Connection, worker: AWorker, secret_hash: bytes) -> AWorker:
    """The same worker, connected with its next secret."""
    assert await worker_credentials.announce(conn, worker.id, worker.session, secret_hash)
    greeting = sessions.Greeting(worker.id, secret_hash, uuid7(), "w", "0", 4, 0, {})
    session = await sessions.connect(conn, greeting, 0.0)
    assert session
    return AWorker(worker.id, session.session)


async def lost_worker(conn: Connection) -> AWorker:
    """Silent for two minutes while somebody listened: TERMINATED."""
    worker = await ready_worker(conn, name="lost")
    await silence(conn, worker, 120)
    await silent_workers.judge_silent(conn, 30.0, 60.0)
    return worker


async def silence(conn: Connection, worker: AWorker, seconds: float) -> None:
    """Moves a worker's last heartbeat, and the begin of all listening, into the past."""
    await conn.execute(
        """
        UPDATE workers
        SET last_heartbeat = last_heartbeat - make_interval(secs => %s)
        WHERE id = %s
        """,
        [seconds, worker.id],
    )
    await conn.execute(
        "UPDATE hodei_listening SET listening_since = listening_since - interval '1 hour'"
    )


async def pending_job(conn: Connection, **spec: Any) -> uuid.UUID:
    normal = normalise({"command": "true", **spec})
    job_id = normal.id or uuid7()
    outcome = await creation.create(conn, [creation.NewJob(job_id, "cli:test", normal.normal)])
    assert outcome == {job_id: "created"}
    return job_id


async def claim(
    conn: Connection, workers: Sequence[uuid.UUID], labels: dict[str, str] | None = None
) -> list[claims.Offer]:
    return (await claims.claim(conn, claims.ClaimRequest(workers, labels or {}), 10.0)).offers


async def assigned_job(conn: Connection, worker: AWorker, **spec: Any) -> claims.Offer:
    """Offered to the worker, not accepted; takes the whole queue's best, so keep it empty
    otherwise."""
    await pending_job(conn, **spec)
    (offer,) = await claim(conn, [worker.id])
    return offer


async def running_job(conn: Connection, worker: AWorker, **spec: Any) -> claims.Offer:
    offer = await assigned_job(conn, worker, **spec)
    held = await accepts.accept(conn, [leases.Claimant(offer.lease, worker.id)])
    assert [one.job_id for one in held.values()] == [offer.job_id]
    return offer


def word(offer: claims.Offer, outcome: str = "SUCCEEDED", **more: Any) -> results.Result:
    """The worker's last word about an offer."""
    common: dict[str, Any] = {"actor": f"worker:{offer.worker_id}", "ran": True, "run_us": 1000}
    if outcome == "FAILED":
        common |= {"reason": "EXIT_NONZERO", "message": "exit code 3", "exit_code": 3}
    return results.Result(offer.lease, offer.worker_id, Outcome(outcome), **(common | more))


async def final_job(
    conn: Connection, worker: AWorker, outcome: str = "SUCCEEDED", **spec: Any
) -> claims.Offer:
    offer = await running_job(conn, worker, **spec)
    (ended,) = await results.record_results(conn, [word(offer, outcome)])
    assert ended.new_state == outcome
    return offer


async def promote(conn: Connection) -> int:
    """Whatever is due gets ready; how many."""
    return len(await job_queue.promote(conn, await job_queue.due(conn)))


async def back_off_ends(conn: Connection) -> None:
    await conn.execute(
        "UPDATE job_queue SET ready_at = now() - interval '1 s' WHERE waiting = 'BACKOFF'"
    )
    await promote(conn)


async def expire(conn: Connection) -> list[uuid.UUID]:
    """Whatever is new starts its term, and what has waited too long fails."""
    await job_queue.start_timeouts(conn)
    return [one.job_id for one in await job_queue.expire(conn, await job_queue.expired(conn))]
