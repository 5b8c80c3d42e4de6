"""A worker whose hello cannot be stored lives all the same: what it runs begins nowhere else."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from hodei.local.stack import Stack
from tests.eventually import eventually
from tests.running import Hodei

UNACCEPT = """
WITH back AS (
    UPDATE leases
    SET accepted_at = NULL, end_by = NULL, accept_by = clock_timestamp() + interval '3 s'
    WHERE job_id = %s
)
UPDATE jobs SET state = 'PENDING', attempts = 0, started_at = NULL WHERE id = %s
"""
"""As if the accept had been under way when the stream ended."""

JUDGED = "SELECT listening_since < clock_timestamp() - interval '10 s' FROM hodei_listening"
"""Whether servers have listened long enough to take offers back."""

ENDLESS = """
CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN PERFORM pg_sleep(1000); RETURN NEW; END $$;
CREATE TRIGGER theirs BEFORE UPDATE ON workers FOR EACH ROW
WHEN (NEW.session <> OLD.session) EXECUTE FUNCTION theirs()
"""


@contextmanager
def locked(hodei: Hodei) -> Iterator[None]:
    """Somebody has locked the row of each worker."""
    with psycopg.connect(hodei.url) as somebody:
        somebody.execute("SELECT FROM workers FOR UPDATE")
        yield


@contextmanager
def triggered(hodei: Hodei) -> Iterator[None]:
    """No new session of a worker can be stored; that it lives can."""
    hodei.sql(ENDLESS)
    yield
    ((seen,),) = hodei.sql("SELECT min(last_heartbeat) FROM workers")
    eventually(lambda: hodei.sql("SELECT min(last_heartbeat) FROM workers") > [(seen,)])
    hodei.sql("DROP TRIGGER theirs ON workers")


@pytest.mark.parametrize("in_the_way", [locked, pytest.param(triggered, marks=pytest.mark.slow)])
def test_a_job_that_a_slot_has_taken_is_not_offered_again(fresh: Hodei, in_the_way: Any) -> None:
    """Its worker comes to another server, which has one that would run it."""
    gate, begun = fresh.folder / "gate", fresh.folder / "begun"
    servers = ",".join(fresh.addresses)
    fresh.stack.worker("worker", servers, fresh.folder / "w", fresh.token())
    job_id = fresh.submit("--command", f"echo >> {begun}; until [ -e {gate} ]; do sleep 0.1; done")
    fresh.until(job_id, "RUNNING")
    left = fresh.holder()
    there = fresh.addresses[1 - left]
    fresh.stack.worker("other", there, fresh.folder / "other", fresh.token())
    eventually(lambda: fresh.sql(JUDGED) == [(True,)])
    with in_the_way(fresh):
        fresh.sql(UNACCEPT, job_id, job_id)
        Stack.stop_part(next(p for p in fresh.stack.parts if p.name == f"server-{left}"))
        time.sleep(6)
        assert begun.read_text() == "\n", "it began once"
    eventually(lambda: fresh.log("worker").count("connected to") > 1)
    gate.touch()
    fresh.all_succeeded([job_id])
    assert begun.read_text() == "\n"
    assert fresh.sql("SELECT attempts FROM jobs") == [(1,)]
