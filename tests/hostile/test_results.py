"""A worker that reports of its own jobs what cannot be: it is refused, or what is impossible about
it is left out. No job gets a story that the documents rule out."""

import uuid
from typing import Any

import grpc
import pytest

from hodei.protocol import hodei_pb2 as pb
from hodei.store.results import UNASKED, UNLIMITED
from tests.eventually import eventually
from tests.hostile.worker import HostileWorker
from tests.running import Hodei
from verify.checker import violations

CONTRADICTIONS: dict[str, dict[str, Any]] = {
    "a success with an exit code": {"outcome": pb.SUCCEEDED, "exit_code": 5},
    "a success with a signal": {"outcome": pb.SUCCEEDED, "signal": 9},
    "a success with a reason": {"outcome": pb.SUCCEEDED, "reason": "TIMEOUT"},
    "a failure that was a cancel": {"outcome": pb.FAILED, "reason": "CANCELLED"},
    "a failure that was a loss": {"outcome": pb.FAILED, "reason": "WORKER_LOST"},
    "a failure that servers find": {"outcome": pb.FAILED, "reason": "QUARANTINED"},
    "a rejection": {"outcome": pb.FAILED, "reason": "REJECTED"},
    "an exit code of a success": {"outcome": pb.FAILED, "reason": "EXIT_NONZERO", "exit_code": 0},
    "an exit code and a signal": {
        "outcome": pb.FAILED,
        "reason": "EXIT_NONZERO",
        "exit_code": 1,
        "signal": 9,
    },
    "a signal and an exit code": {
        "outcome": pb.FAILED,
        "reason": "SIGNALED",
        "exit_code": 1,
        "signal": 9,
    },
    "a cancel by time": {"outcome": pb.CANCELLED, "reason": "TIMEOUT"},
    "a loss by exit code": {"outcome": pb.LOST, "reason": "EXIT_NONZERO"},
}


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("said", CONTRADICTIONS.values(), ids=CONTRADICTIONS)
def test_a_result_that_contradicts_itself_is_refused(
    said: dict[str, Any], late: bool, hodei: Hodei
) -> None:
    of_job: dict[str, Any] = {"late_job_id": str(uuid.uuid4())} if late else {}
    with HostileWorker(hodei.addresses[0], hodei.token()) as evil:
        evil.send(results=[pb.Result(lease=1, **said, **of_job)])
        assert evil.ends() == grpc.StatusCode.INVALID_ARGUMENT, evil.words
        assert "expected" in evil.words


CENTURIES_US = 300 * 365 * 86_400 * 10**6
ODD: dict[str, dict[str, Any]] = {
    "a loss of what was not started": {"outcome": pb.LOST},
    "no reason of a failure": {"outcome": pb.FAILED, "started_unix_us": 1},
    "no reason of a cancel": {"outcome": pb.CANCELLED},
    "codes beyond a process's": {
        "outcome": pb.FAILED,
        "reason": "EXIT_NONZERO",
        "exit_code": 256,
    },
    "a negative code": {
        "outcome": pb.FAILED,
        "reason": "EXIT_NONZERO",
        "exit_code": -(1 << 31),
    },
    "a signal that is none": {"outcome": pb.FAILED, "reason": "SIGNALED", "signal": 900},
    "a negative signal": {"outcome": pb.FAILED, "reason": "SIGNALED", "signal": -9},
    "a time-out long before its time": {"outcome": pb.FAILED, "reason": "TIMEOUT"},
    "started in 2999, run for 300 years": {
        "outcome": pb.SUCCEEDED,
        "started_unix_us": 32_472_144_000_000_000,
        "run_us": CENTURIES_US,
    },
    "started before 1970": {"outcome": pb.SUCCEEDED, "started_unix_us": -(1 << 63)},
    "counts as large as may be": {
        "outcome": pb.SUCCEEDED,
        "peak_memory_bytes": 1 << 62,
        "cpu_us": 1 << 62,
        "log_chunks": 1 << 62,
        "log_bytes": 1 << 62,
        "log_dropped_bytes": 1 << 62,
        "leftover_processes": (1 << 32) - 1,
        "leftover_unknown": (1 << 32) - 1,
    },
}


def test_what_is_impossible_about_a_result_is_left_out(one: Hodei) -> None:
    """Of an offer that was accepted, and of one that was not."""
    labels = {"mine": "1"}
    slots = 2 * len(ODD)
    with HostileWorker(one.addresses[0], one.token(), slots=slots, labels=labels) as evil:
        for _ in range(slots):
            one.submit("--label", "mine=1", "--timeout", "1h", "--command", "true")
        runs = eventually(lambda: evil.offers if len(evil.offers) == slots else [])
        accepted = runs[: len(ODD)]
        evil.send(accepts=[pb.Accept(lease=run.lease) for run in accepted])
        for run in accepted:
            one.until(run.job_id, "RUNNING")
        kinds = [*ODD.values(), *ODD.values()]
        results = [
            pb.Result(lease=run.lease, **said) for run, said in zip(runs, kinds, strict=True)
        ]
        evil.send(results=results)
        eventually(lambda: one.sql("SELECT count(*) FROM leases") == [(0,)])
        assert evil.status is None, evil.words
    # As the worker says, or because it says it.
    words = (None, UNASKED, UNLIMITED)
    expected = ("succeeded with an incomplete log", *(f"INTERNAL: {why}" for why in words))
    assert [found for found in violations(one.conn) if not found.endswith(expected)] == []
    codes = "SELECT DISTINCT exit_code, signal FROM jobs"
    assert one.sql(codes) == [(None, None)]
    ended = "SELECT DISTINCT state, reason FROM jobs WHERE state <> 'SUCCEEDED' ORDER BY 1, 2"
    assert one.sql(ended) == [
        ("FAILED", "EXIT_NONZERO"),
        ("FAILED", "INTERNAL"),
        ("FAILED", "SIGNALED"),
        ("PENDING", None),
    ]
    late = "SELECT count(*) FROM jobs WHERE started_at NOT BETWEEN created_at AND updated_at"
    assert one.sql(late) == [(0,)]
    for run in runs:
        for verb in ("get", "timeline", "attempts"):
            assert one.run("job", verb, run.job_id).code == 0


def test_of_two_results_of_a_lease_one_is_kept(one: Hodei) -> None:
    with HostileWorker(one.addresses[0], one.token(), labels={"mine": "1"}) as evil:
        job_id = one.submit("--label", "mine=1", "--retries", "1", "--command", "true")
        (run,) = eventually(lambda: evil.offers)
        failure = pb.Result(lease=run.lease, outcome=pb.FAILED, reason="TIMEOUT")
        success = pb.Result(lease=run.lease, outcome=pb.SUCCEEDED)
        evil.send(results=[failure, success, failure, success])
        eventually(lambda: one.sql("SELECT count(*) FROM leases") == [(0,)])
        assert evil.status is None, evil.words
    assert violations(one.conn) == []
    ends = """
        SELECT count(*)
        FROM domain_events
        WHERE aggregate_id = %s
          AND payload ->> 'old_state' = 'RUNNING'
    """
    assert one.sql(ends, job_id) == [(1,)]
