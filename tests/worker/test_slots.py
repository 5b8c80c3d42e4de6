"""The rules of a lease's life on the worker, without processes or a server."""

import asyncio
import json
from typing import Any

import pytest

from hodei.protocol import hodei_pb2 as pb
from hodei_worker.outbox import Outbox
from hodei_worker.slots import Slots
from hodei_worker.supervisor.wire import Leftover
from tests import virtual_clock

ENDED = {
    "outcome": "SUCCEEDED",
    "reason": "",
    "message": "",
    "exit_code": 0,
    "run_us": 5,
    "started_us": 1,
}


class Supervisor:
    """Keeps what was said to it."""

    capabilities = ["process"]  # noqa: RUF012  as the protocol has it
    leftovers: list[Leftover] = []  # noqa: RUF012

    def __init__(self) -> None:
        self.said: list[tuple[str, int]] = []
        self.reading = 0  # the number of the last `read`, whichever the job

    def remove_leftover(self, one: Leftover) -> None:
        raise AssertionError("there is none")

    def send(self, op: str, payload: bytes = b"", **header: Any) -> None:
        self.said.append((op, header["lease"]))
        if op == "read":
            self.reading = header["reading"]


class Worker:
    def __init__(self, slots: int) -> None:
        self.supervisor = Supervisor()
        self.outbox = Outbox(accept_after_s=0.0)
        self.slots = Slots(slots, self.supervisor, self.outbox)

    def offer(self, *leases: int) -> None:
        for lease in leases:
            self.slots.on_offer(
                pb.RunJob(
                    lease=lease,
                    job_id=f"job-{lease}",
                    attempt=1,
                    spec=json.dumps({"command": "true"}),
                )
            )

    def end(self, lease: int, chunks: int = 0, **more: Any) -> None:
        result = ENDED | {"log_chunks": chunks} | more
        self.slots.on_supervisor_frame({"op": "ended", "lease": lease, "result": result}, b"")

    def said(self) -> pb.WorkerFrame:
        return pb.WorkerFrame() if self.outbox.empty else self.outbox.take_frame()

    def wrote(self, lease: int, *seqs: int, **more: Any) -> None:
        for seq in seqs:
            chunk: Any = {
                "op": "chunk",
                "lease": lease,
                "seq": seq,
                "stream": 1,
                "offset": seq,
                "line": 1,
                "read_us": 1,
            }
            self.slots.on_supervisor_frame(chunk | more, b"x")

    def phases(self) -> dict[int, int]:
        return {held.lease: held.phase for held in self.slots.held()}


@pytest.fixture
def worker() -> Worker:
    return Worker(slots=2)


def test_an_offer_is_accepted_when_a_slot_takes_it(worker: Worker) -> None:
    worker.offer(1, 2, 3)
    assert [a.lease for a in worker.said().accepts] == [1, 2]
    assert worker.phases() == {1: pb.Held.RUNNING, 2: pb.Held.RUNNING, 3: pb.Held.WAITING}
    worker.end(1)
    frame = worker.said()
    assert ([a.lease for a in frame.accepts], [r.lease for r in frame.results]) == ([3], [1])


def test_of_a_short_job_only_the_end_is_said() -> None:
    worker = Worker(slots=1)
    worker.outbox = worker.slots._outbox = Outbox(accept_after_s=60.0)
    worker.offer(1, 2)
    worker.end(1)
    frame = worker.said()
    assert ([a.lease for a in frame.accepts], [r.lease for r in frame.results]) == ([], [1]), (
        "the accept of 2 may still wait"
    )
    assert not worker.outbox.empty


def test_an_offer_that_comes_twice_runs_once(worker: Worker) -> None:
    worker.offer(1, 1)
    assert worker.supervisor.said == [("start", 1)]


def test_a_result_goes_behind_its_log_and_is_kept_until_acknowledged(worker: Worker) -> None:
    worker.offer(1)
    worker.said()
    worker.wrote(1, 0)
    worker.end(1, chunks=2)
    assert not worker.said().results
    worker.wrote(1, 1)
    frame = worker.said()
    assert ([c.seq for c in frame.logs], [r.lease for r in frame.results]) == ([1], [1])
    worker.slots.on_log_ack(1, 2)
    assert not worker.said().results, "once"
    assert worker.phases() == {1: pb.Held.ENDED}
    worker.slots.on_result_ack(1)
    assert worker.slots.empty
    assert worker.supervisor.said[-1] == ("forget", 1)


def test_after_a_reconnect_all_that_was_not_acknowledged_is_said_again(worker: Worker) -> None:
    worker.offer(1, 2)
    worker.end(2)
    worker.outbox.clear()
    for lease in (1, 2):
        worker.slots.on_resume(pb.Resume(lease=lease, holds=True, log_seq=0, accepted=False))
    frame = worker.said()
    assert ([a.lease for a in frame.accepts], [r.lease for r in frame.results]) == ([1], [2]), (
        "of 2 the result says it all"
    )


def test_what_was_on_its_way_when_the_log_is_read_again_is_let_go(worker: Worker) -> None:
    worker.offer(1)
    worker.wrote(1, 0, 1, 2, reading=0)
    worker.end(1, chunks=5)
    worker.outbox.clear()
    worker.slots.on_resume(pb.Resume(lease=1, holds=True, log_seq=1, accepted=True))
    worker.wrote(1, 3, 4, reading=0)
    assert worker.said() == pb.WorkerFrame(), (
        "neither a chunk behind a gap nor the result behind it"
    )
    worker.wrote(1, 1, 2, 3, 4, reading=worker.supervisor.reading)
    frame = worker.said()
    assert ([c.seq for c in frame.logs], [r.lease for r in frame.results]) == ([1, 2, 3, 4], [1])


def test_an_offer_that_waits_across_a_reconnect_is_heard_when_it_runs(worker: Worker) -> None:
    """The supervisor does not know it yet: there is nothing to read again, and its chunks are of
    the first reading."""
    worker.offer(1, 2, 3)
    worker.outbox.clear()
    worker.slots.on_resume(pb.Resume(lease=3, holds=True))
    assert ("read", 3) not in worker.supervisor.said
    worker.end(1)
    worker.wrote(3, 0, reading=0)
    worker.end(3, chunks=1)
    frame = worker.said()
    assert ([c.lease for c in frame.logs], [r.lease for r in frame.results]) == ([3], [1, 3])


def test_that_a_job_is_stopping_is_said_on_the_next_stream_too(worker: Worker) -> None:
    worker.offer(1)
    worker.slots.on_cancel(1, "CANCELLED", "cancelled")
    worker.slots.on_supervisor_frame({"op": "stopping", "lease": 1}, b"")
    worker.outbox.clear()
    worker.slots.on_resume(pb.Resume(lease=1, holds=True, accepted=True))
    assert [said.lease for said in worker.said().stopping] == [1]


def test_a_late_job_whose_whole_log_was_acknowledged_to_the_agent_before_is_told(
    worker: Worker,
) -> None:
    known: Any = {"job_id": "j", "attempt": 1, "correlation_id": "c", "actor": "a", "started_us": 7}
    worker.slots.adopt_jobs([known | {"lease": 6, "result": ENDED | {"log_chunks": 3}, "acked": 3}])
    worker.slots.on_resume(pb.Resume(lease=6, holds=False))
    assert [r.late_job_id for r in worker.said().results] == ["j"]


def test_a_stale_lease_is_killed_and_what_is_left_of_it_is_told_as_late(worker: Worker) -> None:
    worker.offer(1)
    worker.said()
    worker.slots.on_resume(pb.Resume(lease=1, holds=False))
    assert worker.supervisor.said[-2:] == [("stop", 1), ("read", 1)]
    assert worker.phases() == {}, "nobody gave it to us any more"
    worker.wrote(1, 0)
    worker.end(1, chunks=1, outcome="LOST", reason="WORKER_LOST")
    frame = worker.said()
    assert ([c.late_job_id for c in frame.logs], [r.late_job_id for r in frame.results]) == (
        ["job-1"],
        ["job-1"],
    )
    worker.slots.on_log_ack(1, 1)
    worker.slots.send_late_again()
    assert [r.late_job_id for r in worker.said().results] == ["job-1"], "on the next stream again"
    worker.slots.on_result_ack(1)
    assert worker.slots.empty


def test_a_refused_offer_that_never_ran_is_forgotten(worker: Worker) -> None:
    worker.offer(1, 2, 3)
    worker.slots.on_refusal(3, "taken back")
    assert worker.supervisor.said[-1] == ("forget", 3)
    assert set(worker.phases()) == {1, 2}


def test_when_the_supervisor_dies_what_ran_is_reported_lost_and_the_rest_goes_on(
    worker: Worker,
) -> None:
    worker.offer(1, 2, 3)
    worker.said()
    worker.end(1, chunks=5)
    assert worker.phases() == {1: pb.Held.ENDED, 2: pb.Held.RUNNING, 3: pb.Held.RUNNING}
    after = Supervisor()
    known: Any = {"job_id": "j", "attempt": 1, "correlation_id": "c", "actor": "a", "started_us": 7}
    lost = ENDED | {"outcome": "LOST", "reason": "WORKER_LOST", "log_chunks": 1 << 62, "spooled": 1}
    worker.slots.adopt_after_supervisor_death(
        after,
        [
            known | {"lease": 1, "result": ENDED | {"log_chunks": 5}},
            known | {"lease": 2, "result": lost},
        ],
    )
    assert {r.lease: r.outcome for r in worker.said().results} == {3: pb.LOST}, (
        "though the journal missed it"
    )
    assert ("purge", 3) in after.said
    assert {("read", 1), ("read", 2)} <= set(after.said), "their logs are read again"
    worker.wrote(1, 0, 1, 2, 3, 4)
    worker.wrote(2, 0)
    assert {r.lease: r.outcome for r in worker.said().results} == {1: pb.SUCCEEDED, 2: pb.LOST}


def test_what_is_offered_while_no_supervisor_is_connected_starts_afterwards(worker: Worker) -> None:
    """What was sent to a connection that has ended would be lost."""
    worker.slots.wait_for_supervisor()
    worker.offer(1)
    assert ("start", 1) not in worker.supervisor.said
    worker.slots.adopt_after_supervisor_death(worker.supervisor, [])
    assert ("start", 1) in worker.supervisor.said
    assert ("purge", 1) not in worker.supervisor.said
    assert [a.lease for a in worker.said().accepts] == [1]


def test_a_cancel_of_a_waiting_offer_needs_no_process(worker: Worker) -> None:
    worker.offer(1, 2, 3)
    worker.slots.on_cancel(3, "CANCELLED", "cancelled")
    (result,) = worker.said().results
    assert (result.lease, result.outcome, result.started_unix_us) == (3, pb.CANCELLED, 0)
    assert ("start", 3) not in worker.supervisor.said


def test_draining_hands_waiting_offers_back_and_takes_no_new_ones(worker: Worker) -> None:
    worker.offer(1, 2, 3)
    worker.slots.drain()
    worker.offer(4)
    assert [r.lease for r in worker.said().rejects] == [3, 4]
    assert worker.slots.heartbeat().draining
    assert set(worker.phases()) == {1, 2}


def test_what_servers_ask_back_is_given_back_unless_a_slot_has_it(worker: Worker) -> None:
    worker.offer(1, 2, 3, 4)
    worker.said()
    worker.slots.on_recall([2, 3, 9])
    assert [r.lease for r in worker.said().rejects] == [3]
    worker.end(1)
    assert [a.lease for a in worker.said().accepts] == [4]


def test_jobs_that_the_supervisor_kept_are_adopted(worker: Worker) -> None:
    known: Any = {"job_id": "j", "attempt": 1, "correlation_id": "c", "actor": "a", "started_us": 7}
    worker.slots.adopt_jobs(
        [
            known | {"lease": 5, "result": None},
            known | {"lease": 6, "result": ENDED | {"log_chunks": 0}},
        ]
    )
    assert worker.phases() == {5: pb.Held.RUNNING, 6: pb.Held.ENDED}
    assert worker.slots.running == 1
    worker.slots.on_resume(pb.Resume(lease=6, holds=True, accepted=True))
    assert [r.lease for r in worker.said().results] == [6]


def test_only_the_end_of_the_last_job_ends_the_gathering() -> None:
    """A worker that has nothing left to run reports at once."""

    async def story() -> tuple[float, float]:
        worker, loop = Worker(slots=1), asyncio.get_running_loop()
        worker.offer(1, 2)
        async with asyncio.TaskGroup() as group:
            gathering = group.create_task(worker.outbox.wait_for_more(60.0))
            await asyncio.sleep(1.0)
            worker.end(1)
            await asyncio.sleep(1.0)
            assert not gathering.done()
            worker.end(2)
        took = loop.time()
        assert [result.lease for result in worker.said().results] == [1, 2]
        await worker.outbox.wait_for_more(60.0)
        return took, loop.time() - took

    took, idle = virtual_clock.run(story())
    assert took == pytest.approx(2.0)
    assert idle == pytest.approx(60.0), "it is told once: later frames gather again"
