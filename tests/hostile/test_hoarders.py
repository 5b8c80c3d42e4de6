"""A worker that keeps offers without running them: their jobs go back to the queue."""

import time

import pytest

from hodei.protocol import hodei_pb2 as pb
from tests.eventually import eventually
from tests.hostile.test_rows import locked
from tests.hostile.worker import HostileWorker
from tests.running import Hodei


def test_an_offer_cannot_be_held_as_waiting_for_ever(one: Hodei) -> None:
    with HostileWorker(one.addresses[0], one.token(), slots=1, labels={"mine": "1"}) as hoarder:
        job_id = one.submit("--label", "mine=1", "--command", "true")
        run = eventually(lambda: hoarder.offers)[0]
        one.sql(
            """
            UPDATE leases
            SET offered_at = offered_at - interval '1 hour', accept_by = now() - interval '1 s'
            """
        )
        one.sql("UPDATE hodei_listening SET listening_since = now() - interval '1 hour'")
        hoarder.send(heartbeat=pb.Heartbeat(held=[pb.Held(lease=run.lease, phase=pb.Held.WAITING)]))
        returned = """
            SELECT count(*)
            FROM domain_events
            WHERE event_type = 'JobUnassigned'
              AND aggregate_id = %s
        """
        assert eventually(lambda: one.sql(returned, job_id)[0][0])


@pytest.mark.parametrize("guess", [True, False], ids=["guessed leases", "its own offers"])
def test_a_worker_with_free_slots_cannot_let_offers_wait(guess: bool, one: Hodei) -> None:
    """It says that all its slots are busy, with what no slot has accepted; a heartbeat a second
    would have kept the offers for 40 s."""
    labels = {"mine": "1"}
    with HostileWorker(one.addresses[0], one.token(), slots=4, labels=labels) as hoarder:
        for _ in range(4):
            one.submit("--label", "mine=1", "--command", "true")
        runs = eventually(lambda: hoarder.offers if len(hoarder.offers) == 4 else [])
        one.sql("UPDATE hodei_listening SET listening_since = now() - interval '1 hour'")
        one.sql("UPDATE leases SET accept_by = accept_by - interval '6 s'")  # they are as old
        begun = time.monotonic()
        offered = [run.lease for run in runs]
        waiting = [pb.Held(lease=n, phase=pb.Held.WAITING) for n in offered]
        busy = range(10_000, 10_004) if guess else [*offered, *offered]
        running = [pb.Held(lease=n, phase=pb.Held.RUNNING) for n in busy]
        returned = "SELECT count(*) FROM domain_events WHERE event_type = 'JobUnassigned'"
        while one.sql(returned)[0][0] < 4:
            hoarder.send(heartbeat=pb.Heartbeat(held=waiting + running, busy_slots=4))
            assert time.monotonic() - begun < 14
            time.sleep(1.0)


def test_an_offer_behind_a_running_job_is_kept_while_it_waits(one: Hodei) -> None:
    """The worker took it in advance; its term is extended by each heartbeat."""
    with HostileWorker(one.addresses[0], one.token(), slots=2, labels={"mine": "1"}) as worker:
        for _ in range(2):
            one.submit("--label", "mine=1", "--command", "true")
        runs = eventually(lambda: worker.offers if len(worker.offers) == 2 else [])
        worker.send(accepts=[pb.Accept(lease=runs[0].lease)])
        worker.connect(slots=1, held=[pb.Held(lease=run.lease) for run in runs])
        phases = zip(runs, (pb.Held.RUNNING, pb.Held.WAITING), strict=True)
        held = [pb.Held(lease=run.lease, phase=phase) for run, phase in phases]
        term = "SELECT accept_by FROM leases WHERE lease = %s"
        first = one.sql(term, runs[1].lease)
        for _ in range(3):
            time.sleep(1.1)
            worker.send(heartbeat=pb.Heartbeat(held=held, busy_slots=1))
        eventually(lambda: one.sql(term, runs[1].lease) > first)


def test_an_offer_that_a_slot_has_taken_does_not_lapse_while_its_jobs_row_is_locked(
    one: Hodei,
) -> None:
    """Its accept waits for the lock, for longer than an offer lasts."""
    with HostileWorker(one.addresses[0], one.token(), slots=1, labels={"mine": "1"}) as worker:
        job_id = one.submit("--label", "mine=1", "--on-lost", "fail", "--command", "true")
        (run,) = eventually(lambda: worker.offers)
        with locked(one, "SELECT FROM jobs WHERE id = %s FOR UPDATE", job_id):
            worker.send(accepts=[pb.Accept(lease=run.lease)])
            time.sleep(1.0)  # the accept has met the lock
            one.sql("UPDATE hodei_listening SET listening_since = now() - interval '1 hour'")
            one.sql("UPDATE leases SET accept_by = now() - interval '1 s'")
            held = [pb.Held(lease=run.lease, phase=pb.Held.RUNNING)]
            worker.send(heartbeat=pb.Heartbeat(held=held, busy_slots=1))
            eventually(lambda: one.sql("SELECT accept_by > now() FROM leases") == [(True,)], 10)
        one.until(job_id, "RUNNING")
        assert one.job(job_id)["attempts"] == 1
