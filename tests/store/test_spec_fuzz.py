"""Random specs get one answer of both doors: accepted to the same stored form, or refused.

2,000 with a fixed seed; HODEI_FUZZ_SPECS=1000000 asks for more, HODEI_FUZZ_SEED for others. So many
take longer than a test may: `pytest -o faulthandler_timeout=0`.
"""

import json
import os
import random
from typing import Any

import psycopg

from hodei.domain.errors import Invalid
from hodei.domain.spec import normalise
from hodei.flow import job_shapes
from hodei.flow.waiting import waiting_for
from hodei.rpc import to_caller
from hodei.store import accepts, cancels, job_queue, job_search, job_story, jobs, leases, results
from hodei.store.database import Connection as AsyncConnection
from tests.conftest import Connection
from tests.domain import odd_json
from tests.domain.random_specs import spec
from tests.factories import claim, on, promote, ready_worker, word

MANY = int(os.environ.get("HODEI_FUZZ_SPECS", "2000"))
SEED = int(os.environ.get("HODEI_FUZZ_SEED", "10"))
AT_ONCE = 500

# Each by itself, so that one refusal is one answer: a function of this test's own.
ASK = """
CREATE FUNCTION pg_temp.ask(given text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN 'good ' || hodei_normalise_spec(given::jsonb)::text;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN 'bad ' || SQLERRM;
WHEN numeric_value_out_of_range OR invalid_text_representation OR untranslatable_character
    OR statement_too_complex THEN
    RETURN 'unreadable';
END $$
"""


def of_python(given: str) -> tuple[str, Any]:
    try:
        return "good", normalise(given).normal
    except Invalid as refusal:
        return "bad", str(refusal)


def same_answers(db: Connection, specs: list[str]) -> int:
    """Asks both doors, and returns how many specs they took."""
    answers = db.execute(
        "SELECT pg_temp.ask(s) FROM unnest(%s::text[]) WITH ORDINALITY AS u (s, n) ORDER BY n",
        [specs],
    ).fetchall()
    good = 0
    for given, (answer,) in zip(specs, answers, strict=True):
        kind, ours = of_python(given)
        said, _, words = answer.partition(" ")
        assert (said == "good") == (kind == "good"), (given, answer, ours)
        if kind == "good":
            good += 1
            assert json.loads(words) == json.loads(json.dumps(ours)), given
            assert of_python(words) == (kind, ours), "a stored form comes back as it is"
        elif said == "bad":
            assert words == ours, given
    return good


def test_both_doors_read_odd_json_alike(db: Connection) -> None:
    db.execute(ASK)
    given = [*odd_json.texts()]
    assert 0.1 * len(given) < same_answers(db, given) < 0.9 * len(given)


def test_both_doors_give_random_specs_the_same_answer(db: Connection) -> None:
    db.execute(ASK)
    dice = random.Random(SEED)
    good = 0
    for _ in range(0, MANY, AT_ONCE):
        good += same_answers(db, [spec(dice) for _ in range(AT_ONCE)])
    assert MANY * 0.2 < good < MANY * 0.9, "a fuzz that asks for both answers"


def test_what_the_doors_accept_can_be_claimed_accepted_ended_listed_shown_and_cancelled(
    db: Connection, database_url: str
) -> None:
    """Whatever random specs hold: each statement of a job's life and each answer about it can take
    it."""
    dice = random.Random(SEED + 1)
    stored = 0
    for _ in range(400):
        given = spec(dice)
        if of_python(given)[0] == "good":
            try:
                db.execute("SELECT hodei_enqueue(%s::jsonb)", [given])
                stored += 1
            except psycopg.errors.UniqueViolation:
                assert '"id"' in given
            except psycopg.errors.InvalidParameterValue as refusal:
                assert str(refusal).startswith("secret "), given
    assert stored > 80
    db.execute("UPDATE job_queue SET labels = '{}', waiting = NULL, ready_at = NULL")
    on(database_url, _live)
    left = db.execute("SELECT state, count(*) FROM jobs GROUP BY state ORDER BY state").fetchall()
    assert [state for state, _ in left] == ["CANCELLED", "FAILED", "SUCCEEDED"], left


async def _live(conn: AsyncConnection) -> None:
    """A third is cancelled in the queue, a third fails, a third succeeds; all are shown, before and
    after."""
    worker = await ready_worker(conn)
    await job_queue.start_timeouts(conn)
    newest = await job_search.search(conn, job_search.Filter(), None, 10_000, 1000)
    every = await jobs.of_ids(conn, [one.id for one in newest.jobs])
    for job in every[::3]:
        assert await cancels.cancel_queued(conn, job.id, "cli:test")
    while offers := await claim(conn, [worker.id] * 50):
        await accepts.accept(conn, [leases.Claimant(offer.lease, worker.id) for offer in offers])
        said = [word(offer, "FAILED" if n % 2 else "SUCCEEDED") for n, offer in enumerate(offers)]
        await results.record_results(conn, said)
        await promote(conn)
        await conn.execute(
            "UPDATE job_queue SET waiting = NULL, ready_at = NULL WHERE waiting = 'BACKOFF'"
        )
    for job in every:
        found = await jobs.get(conn, job.id)
        assert found
        shown = to_caller.job(job_shapes.of_job(found, waiting_for(found, [])))
        listed = to_caller.job(job_shapes.of_job(job))
        assert "(unreadable)" not in (shown.name, listed.name)
        assert shown.SerializeToString()
        assert await job_story.timeline(conn, job.id)
        await job_story.attempts(conn, job.id)
