"""What networks do: cut, stall, half-open, trickle, one way or the other. Running jobs go on, and
nothing is lost or run twice."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.running import Hodei
from verify.fault_proxy import FaultProxy

FOUND_WITHIN_S = 30.0
"""By which a half-open connection must be found, on both sides."""


@pytest.fixture
def links(fresh: Hodei) -> Iterator[list[FaultProxy]]:
    """Between a worker and each server."""
    with FaultProxy(fresh.addresses[0]) as first, FaultProxy(fresh.addresses[1]) as second:
        yield [first, second]


def connect(fresh: Hodei, links: list[FaultProxy], *flags: str) -> Path:
    state = fresh.folder / "w"
    fresh.stack.worker(
        "worker", ",".join(link.address for link in links), state, fresh.token(), *flags
    )
    return state


def counting(hodei: Hodei, seconds: int) -> str:
    """A job that writes a line each 100 ms."""
    return hodei.submit(
        "--command",
        f"n=0; while [ $n -lt {seconds * 10} ]; do n=$((n + 1)); echo $n; sleep 0.1; done",
    )


def expect_whole(hodei: Hodei, job_id: str, seconds: int) -> None:
    job = hodei.finish(job_id)
    assert (job["state"], job["attempts"], job["logs_complete"]) == ("SUCCEEDED", 1, True)
    assert hodei.ok("job", "logs", job_id).text == "".join(
        f"{n}\n" for n in range(1, seconds * 10 + 1)
    )


def test_cut_and_refused_connections_disturb_no_running_job(
    fresh: Hodei, links: list[FaultProxy]
) -> None:
    connect(fresh, links)
    job_id = counting(fresh, 4)
    fresh.until(job_id, "RUNNING")
    for _ in range(4):
        for link in links:
            link.cut()
        time.sleep(0.5)
    links[0].refuse()
    expect_whole(fresh, job_id, 4)


def test_no_result_overtakes_its_log_when_the_stream_is_cut_as_the_job_ends(
    fresh: Hodei, links: list[FaultProxy]
) -> None:
    """What the worker has read between two streams must not go ahead of what it reads again:
    neither log nor result."""
    connect(fresh, links, "--slots", "16")
    command = "n=0; while [ $n -lt 9 ]; do n=$((n + 1)); echo $n; sleep 0.06; done"
    jobs = [
        fresh.sql("SELECT hodei_enqueue(%s::jsonb)::text", json.dumps({"command": command}))[0][0]
        for _ in range(160)
    ]
    deadline = time.monotonic() + 120
    while left := fresh.sql("SELECT id FROM jobs WHERE completed_at IS NULL LIMIT 1"):
        assert time.monotonic() < deadline, left
        for link in links:
            link.cut()
        time.sleep(0.3)
    wrong = fresh.sql(
        """
        SELECT id::text, state, logs_complete
        FROM jobs
        WHERE NOT (state = 'SUCCEEDED' AND logs_complete AND attempts = 1)
        """
    )
    assert wrong == []
    assert {fresh.ok("job", "logs", job_id).text for job_id in jobs[::40]} == {
        "".join(f"{n}\n" for n in range(1, 10))
    }
    for server in ("server-0", "server-1"):
        assert "have a gap" not in fresh.log(server)


def test_offers_that_wait_at_the_worker_when_the_stream_is_cut_run_and_are_heard(
    fresh: Hodei, links: list[FaultProxy]
) -> None:
    """Short jobs, so that more are sent ahead, and behind them some that are long enough to be
    waited for while the worker comes back."""
    connect(fresh, links, "--slots", "1")
    enqueue = "SELECT hodei_enqueue(%s::jsonb) FROM generate_series(1, %s)"
    fresh.sql(enqueue, json.dumps({"command": "true"}), 100)
    fresh.sql(enqueue, json.dumps({"command": "echo heard; sleep 0.4"}), 12)
    eventually(
        lambda: fresh.sql(
            "SELECT id FROM jobs WHERE state = 'RUNNING' AND spec->>'command' <> 'true'"
        ),
        30,
    )
    assert fresh.sql("SELECT count(*) > 3 FROM leases WHERE accepted_at IS NULL") == [(True,)], (
        "none was sent ahead: nothing is tried"
    )
    for link in links:
        link.cut()
    eventually(
        lambda: fresh.sql("SELECT count(*) FROM jobs WHERE completed_at IS NULL") == [(0,)], 30
    )
    heard = """
        SELECT count(*)
        FROM jobs
        WHERE state = 'SUCCEEDED'
          AND logs_complete
          AND spec->>'command' <> 'true'
          AND log_bytes = 6
    """
    assert fresh.sql(heard) == [(12,)]


@pytest.mark.parametrize("direction", ["to", "back", "both"])
def test_a_half_open_stream_is_found_on_both_sides_and_the_job_goes_on(
    fresh: Hodei, links: list[FaultProxy], direction: str
) -> None:
    connect(fresh, links)
    job_id = counting(fresh, 3)
    fresh.until(job_id, "RUNNING")
    here = fresh.holder()
    begun = time.monotonic()
    if direction == "both":
        links[here].stall()
    else:
        links[here].half_open(direction)
    eventually(lambda: "worker connected" in fresh.log(f"server-{1 - here}"), FOUND_WITHIN_S + 5)
    eventually(lambda: "worker's stream" in fresh.log(f"server-{here}"), FOUND_WITHIN_S + 5)
    assert time.monotonic() - begun < FOUND_WITHIN_S
    expect_whole(fresh, job_id, 3)
    assert fresh.sql(
        """
        SELECT count(*)
        FROM domain_events
        WHERE payload->>'new_status' IN ('Unreachable', 'Terminated')
        """
    ) == [(0,)]


def test_a_trickle_is_slow_and_loses_nothing(fresh: Hodei, links: list[FaultProxy]) -> None:
    """Five seconds of it: an answer to a ping that waits behind longer than 10 s would end the
    connection."""
    connect(fresh, links)
    for link in links:
        link.trickle(4000)
    job_id = fresh.submit("--command", "head -c 20000 /dev/zero | tr '\\0' x")
    job = fresh.finish(job_id)
    assert (job["state"], job["log_bytes"], job["logs_complete"]) == ("SUCCEEDED", 20000, True)


@pytest.mark.parametrize(("jobs", "seconds"), [(1, 3), (6, 12)])
def test_a_server_that_is_cut_off_from_the_database_lets_its_workers_go(
    jobs: int, seconds: int, tmp_path: Path, fresh: Hodei
) -> None:
    """Others may reach it: a worker that stays would be given up as silent. Several jobs write so
    much that their worker's heartbeats cannot be read any more: they come behind logs."""
    host = fresh.url.split("@")[1].split("/")[0]
    with FaultProxy(host) as link, FaultProxy(fresh.addresses[0]) as other:
        isolated = fresh.stack.server("isolated", fresh.url.replace(host, link.address))
        other.refuse()
        servers = f"{isolated},{other.address}"
        fresh.stack.worker("worker", servers, tmp_path / "w", fresh.token(), "--slots", str(jobs))
        other.heal()
        all_jobs = [counting(fresh, seconds) for _ in range(jobs)]
        for job_id in all_jobs:
            fresh.until(job_id, "RUNNING")
        if jobs > 1:
            time.sleep(2)  # what the worker has said of itself so far is stored
        link.stall()
        eventually(lambda: "worker connected" in fresh.log("server-0"), 1.5 * FOUND_WITHIN_S)
        for job_id in all_jobs:
            expect_whole(fresh, job_id, seconds)
        assert "cannot reach the database" in fresh.log("isolated")
        link.heal()


def test_a_job_whose_accept_is_lost_on_the_way_may_begin_twice_and_ends_once(
    tmp_path: Path, fresh: Hodei, links: list[FaultProxy]
) -> None:
    """A slot does not wait until its accept is stored. docs/reliability.md says what that means for
    on_lost: fail."""
    for link in links:
        link.refuse()
    links[0].heal()
    connect(fresh, links)
    eventually(lambda: "worker connected" in fresh.log("server-0"))
    links[0].half_open("to")
    starts = tmp_path / "starts"
    command = f"echo start >> {starts}; sleep 3"
    job_id = fresh.submit("--on-lost", "fail", "--command", command)
    eventually(starts.exists)
    fresh.stack.worker("second", fresh.addresses[1], tmp_path / "second", fresh.token())
    job = fresh.finish(job_id)
    assert (job["state"], job["attempts"]) == ("SUCCEEDED", 1)
    assert starts.read_text() == "start\n" * 2
    links[0].heal()


def test_a_worker_that_is_told_to_stops_its_jobs_when_nobody_answers(
    fresh: Hodei, links: list[FaultProxy]
) -> None:
    """--on-disconnect stop: after lost-after (here the shortest, 45 s) its jobs run elsewhere, so
    here they end."""
    for part, address in zip(list(fresh.stack.parts), list(fresh.addresses), strict=True):
        fresh.stack.stop_part(part)
        fresh.stack.server(
            f"{part.name}-again", fresh.url, int(address.rsplit(":")[-1]), "--lost-after", "45"
        )
    connect(fresh, links, "--on-disconnect", "stop")
    job_id = fresh.submit("--on-lost", "fail", "--command", "sleep 600")
    fresh.until(job_id, "RUNNING")
    for link in links:
        link.stall()
    eventually(lambda: "stopping 1 running jobs" in fresh.log("worker"), 60)
    eventually(lambda: fresh.job(job_id)["reason"] == "WORKER_LOST", 60)
    for link in links:
        link.heal()
    late = "SELECT payload->>'outcome' FROM domain_events WHERE event_type = 'JobLateResult'"
    eventually(lambda: fresh.sql(late) == [("LOST",)], 30)
    (beat,) = fresh.sql(
        """
        SELECT payload->>'last_heartbeat' IS NOT NULL
        FROM domain_events
        WHERE payload->>'new_status' = 'Terminated'
        """
    )
    assert beat == (True,)
