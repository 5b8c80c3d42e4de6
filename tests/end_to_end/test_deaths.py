"""What dies, and what then: supervisors, whole deploys; and that nothing is left behind."""

import os
import signal
import time
from pathlib import Path

import pytest

from hodei.local.stack import Part
from tests.eventually import eventually, gone
from tests.running import Hodei
from verify.checker import orphans, violations


def supervisor_of(state: Path) -> int:
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"hodei_worker.supervisor" in words and str(state).encode() in words:
            return int(entry.name)
    raise AssertionError(f"no supervisor of {state}")


@pytest.mark.unprivileged
def test_when_the_supervisor_dies_its_jobs_are_killed_and_run_again_and_the_worker_stays(
    fresh: Hodei,
) -> None:
    state = fresh.folder / "w"
    part = fresh.stack.worker(
        "worker", fresh.addresses[0], state, fresh.token(), "--on-worker-exit", "keep"
    )
    command = (
        "echo attempt $HODEI_ATTEMPT; (setsid sleep 300 &); test $HODEI_ATTEMPT = 2 || sleep 300"
    )
    job_id = fresh.submit("--command", command)
    fresh.wrote(job_id, "attempt 1\n")
    os.kill(supervisor_of(state), signal.SIGKILL)
    fresh.back_off_ends(job_id)
    job = fresh.finish(job_id)
    assert (job["state"], job["attempts"]) == ("SUCCEEDED", 2)
    assert fresh.ok("job", "logs", job_id).text == "attempt 1\nattempt 2\n"
    attempts = fresh.ok("job", "attempts", job_id, "--format", "json").json
    assert [(a["outcome"], a["reason"]) for a in attempts] == [
        ("LOST", "WORKER_LOST"),
        ("SUCCEEDED", None),
    ]
    assert not part.ended
    eventually(lambda: orphans({job_id}) == [])
    assert violations(fresh.conn) == []


def test_jobs_of_a_worker_that_died_whole_are_found_when_it_comes_back(fresh: Hodei) -> None:
    """Agent and supervisor killed at once, as by the kernel when memory is short: what they left is
    killed and run again."""
    state = fresh.folder / "w"
    part = fresh.stack.worker(
        "worker", fresh.addresses[0], state, fresh.token(), "--on-worker-exit", "keep"
    )
    job_id = fresh.submit(
        "--command", "echo attempt $HODEI_ATTEMPT; test $HODEI_ATTEMPT = 2 || exec sleep 300"
    )
    fresh.wrote(job_id, "attempt 1\n")
    supervisor = supervisor_of(state)
    part.process.kill()
    os.kill(supervisor, signal.SIGKILL)
    part.process.wait()
    assert orphans({job_id}) != [], "it ran on, and nobody heard it"
    fresh.stack.worker("again", fresh.addresses[1], state, None)
    fresh.back_off_ends(job_id)
    job = fresh.finish(job_id)
    assert (job["state"], job["attempts"]) == ("SUCCEEDED", 2)
    eventually(lambda: orphans({job_id}) == [])


def test_a_worker_upgraded_by_restart_under_load_loses_no_job(fresh: Hodei) -> None:
    state = fresh.folder / "w"
    enqueue = "SELECT hodei_enqueue(jsonb_build_object('command', %s::text))::text"
    ids = [fresh.sql(enqueue, f"sleep 0.{n % 10}; echo {n}")[0][0] for n in range(16)]
    part = fresh.stack.worker(
        "worker",
        fresh.addresses[0],
        state,
        fresh.token(),
        "--on-worker-exit",
        "keep",
        "--drain-timeout",
        "0.2",
    )
    for round_ in range(3):
        time.sleep(0.5)
        part.process.send_signal(signal.SIGTERM)
        assert part.process.wait(20) == 0
        part = fresh.stack.worker(
            f"upgraded-{round_}",
            fresh.addresses[round_ % 2],
            state,
            None,
            "--on-worker-exit",
            "keep",
            "--drain-timeout",
            "0.2",
        )
    fresh.all_succeeded(ids)
    for n, job_id in enumerate(ids):
        asked = "SELECT attempts, logs_complete FROM jobs WHERE id = %s"
        assert fresh.sql(asked, job_id) == [(1, True)]
        assert fresh.sql(
            "SELECT convert_from(data, 'UTF8') FROM job_logs WHERE job_id = %s", job_id
        ) == [(f"{n}\n",)]
    assert violations(fresh.conn, undisturbed=True) == []


def test_a_newer_worker_adopts_an_older_ones_jobs_and_starts_its_own_supervisor_beside_it(
    fresh: Hodei,
) -> None:
    state, old_code = fresh.folder / "w", fresh.folder / "old"
    old_code.mkdir()
    (old_code / "sitecustomize.py").write_text(
        "import hodei_worker\nhodei_worker.__version__ = '0.0.9'\n"
    )
    keep = ("--on-worker-exit", "keep")
    part = fresh.stack.worker(
        "old",
        fresh.addresses[0],
        state,
        fresh.token(),
        *keep,
        environment={"PYTHONPATH": str(old_code)},
    )
    assert fresh.sql("SELECT version FROM workers") == [("0.0.9",)]
    old = supervisor_of(state)
    gate = fresh.folder / "gate"
    ending = f"until [ -e {gate} ]; do sleep 0.1; done; echo after"
    job_id = fresh.submit("--command", f"echo before; {ending}")
    fresh.wrote(job_id)
    part.process.kill()
    part.process.wait()
    fresh.stack.worker("newer", fresh.addresses[0], state, None, *keep)
    assert fresh.ok("job", "run", "--command", "echo on").text == "on\n"
    assert supervisor_of(state / "seat-1") != old
    gate.touch()
    assert fresh.finish(job_id)["attempts"] == 1
    assert fresh.ok("job", "logs", job_id).text == "before\nafter\n"
    eventually(lambda: gone(old))


def test_a_rolling_restart_of_every_server_under_load_spends_no_attempt(fresh: Hodei) -> None:
    """And afterwards the workers are on both servers again."""
    for n in range(4):
        fresh.stack.worker(
            f"worker-{n}",
            ",".join(fresh.addresses),
            fresh.folder / f"w{n}",
            fresh.token(),
            "--slots",
            "3",
        )
    servers = dict(enumerate(fresh.stack.parts[:2]))
    fresh.sql(
        """
        SELECT hodei_enqueue(jsonb_build_object('command', 'sleep 0.' || n % 10))
        FROM generate_series(1, 300) n
        """
    )
    for which in (0, 1, 0):
        time.sleep(0.5)
        servers[which].process.send_signal(signal.SIGTERM)
        assert servers[which].process.wait(30) == 0
        port = int(fresh.addresses[which].rsplit(":")[-1])
        fresh.stack.server(f"server-{which}-{time.monotonic_ns()}", fresh.url, port)
        servers[which] = fresh.stack.parts[-1]
    eventually(
        lambda: fresh.sql("SELECT count(*) FROM jobs WHERE state = 'SUCCEEDED'") == [(300,)], 60
    )
    assert violations(fresh.conn, undisturbed=True) == []

    def connected(part: Part) -> int:
        log = part.log.read_text()
        return log.count("worker connected") - log.count("worker's stream")

    eventually(lambda: [connected(part) for part in servers.values()] == [2, 2], 60)
