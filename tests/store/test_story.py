"""State and story: the state rebuilt from the events equals the tables, and times strictly
increase, whatever was done to the jobs."""

import random
import uuid

from hodei.store import accepts, cancels, claims, releases, results
from hodei.store.database import Connection as AsyncConnection
from hodei.store.leases import Claimant
from tests.conftest import Connection
from tests.factories import AWorker, claim, on, pending_job, promote, ready_worker, word
from verify.checker import violations


async def _live(conn: AsyncConnection, seed: int) -> None:
    """300 random verbs of two workers over a dozen jobs; words are repeated and come too late as it
    happens."""
    dice = random.Random(seed)
    fleet = [await ready_worker(conn, slots=3), await ready_worker(conn, slots=3)]
    known: list[claims.Offer] = []
    made = [await pending_job(conn, retries=dice.randrange(3)) for _ in range(12)]
    for _ in range(300):
        await _one_verb(conn, dice, fleet, known, made)


async def _one_verb(
    conn: AsyncConnection,
    dice: random.Random,
    fleet: list[AWorker],
    known: list[claims.Offer],
    made: list[uuid.UUID],
) -> None:
    verb = dice.choice(
        ["claim", "accept", "result", "result", "release", "cancel", "promote", "promote"]
    )
    offer = dice.choice(known) if known else None
    if verb == "claim" or offer is None:
        known += await claim(conn, [dice.choice(fleet).id] * 2)
    elif verb == "accept":
        await accepts.accept(
            conn, [Claimant(o.lease, o.worker_id) for o in dice.sample(known, min(3, len(known)))]
        )
    elif verb == "result":
        outcome = dice.choice(["SUCCEEDED", "FAILED", "LOST", "CANCELLED"])
        if outcome == "CANCELLED":
            await cancels.request_cancel(conn, offer.job_id, "test")
        await results.record_results(
            conn, [word(offer, outcome, ran=dice.random() < 0.9 or outcome != "CANCELLED")]
        )
    elif verb == "release":
        await releases.release(conn, [Claimant(offer.lease, offer.worker_id)], "draining", "test")
    elif verb == "cancel":
        job_id = dice.choice(made)
        if dice.random() < 0.3 and not await cancels.cancel_queued(conn, job_id, "test"):
            await cancels.request_cancel(conn, job_id, "test")
    else:
        await conn.execute("UPDATE job_queue SET ready_at = now() WHERE waiting IS NOT NULL")
        await promote(conn)


def test_the_state_rebuilt_from_the_events_equals_the_tables(
    database_url: str, db: Connection
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    on(database_url, lambda conn: _live(conn, seed))
    assert violations(db) == []
    assert db.execute(
        """
        SELECT count(*) > 24
        FROM domain_events
        WHERE correlation_id IN (SELECT id::text FROM jobs)
        """
    ).fetchone() == (True,)


def test_accept_and_result_in_one_statement_leave_both_events_in_order(
    database_url: str, db: Connection
) -> None:
    async def story(conn: AsyncConnection) -> str:
        worker = await ready_worker(conn)
        await pending_job(conn)
        (offer,) = await claim(conn, [worker.id])
        await results.record_results(conn, [word(offer, run_us=3_600_000_000)])
        return str(offer.job_id)

    job_id = on(database_url, story)
    assert violations(db) == []
    rows = db.execute(
        """
        SELECT payload->>'new_state'
        FROM domain_events
        WHERE aggregate_id = %s
        ORDER BY occurred_at
        """,
        [job_id],
    )
    assert [row[0] for row in rows] == ["PENDING", None, "RUNNING", "SUCCEEDED"]
