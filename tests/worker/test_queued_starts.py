"""Jobs that wait at a launcher behind another job: on workers of each kind, with and without
cgroups."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hodei_worker.supervisor import spawn
from hodei_worker.supervisor.cgroups import Cgroup, own_cgroup
from hodei_worker.supervisor.launcher import HOLD_S
from hodei_worker.supervisor.link import MOST_PENDING
from hodei_worker.supervisor.messages import (
    BEHIND,
    EMPTY,
    ENDED,
    FAILED,
    MOVE,
    MOVED,
    OCCUPIED,
    SPAWN,
    SPAWNED,
)
from hodei_worker.supervisor.spawn import MAY_HANG_S, Launcher, Pending, next_launcher
from tests.eventually import eventually
from tests.worker.talking import talking
from tests.worker_process import Worker

MANY = 60


def test_jobs_behind_long_ones_start_at_once_elsewhere(any_worker: Worker) -> None:
    """The worker has 8 slots: all of them run at the same time."""
    gate = any_worker.state.with_name(f"gate-{time.time_ns()}")
    waits = f"echo up; until [ -e {gate} ]; do sleep 0.05; done; exit 7"
    jobs = any_worker.submit_all([waits] * 8)
    for job_id in jobs:
        any_worker.wrote(job_id, "up")
    gate.touch()
    for job_id in jobs:
        job = any_worker.ended(job_id)
        assert (job.exit_code, job.text, job.attempts) == (7, "up\n", 1), job


@pytest.mark.parametrize("size", [20_000, 60_000, 95_000])
def test_long_requests_wait_as_well(any_worker: Worker, size: int) -> None:
    """They go by files: several of them could be more than a socket's buffer holds."""
    commands = [f": {'x' * size}; echo {at}" for at in range(24)]
    for at, job_id in enumerate(any_worker.submit_all(commands)):
        job = any_worker.ended(job_id)
        assert (job.state, job.text, job.attempts) == ("SUCCEEDED", f"{at}\n", 1), job


def test_a_daemon_is_counted_for_the_job_that_left_it(any_worker: Worker) -> None:
    """Without a cgroup nobody can say whose it is while other jobs run."""
    seconds = 100_000 + time.time_ns() // 1000 % 900_000
    daemon = f"(env -i /usr/bin/setsid /bin/sleep {seconds} >/dev/null 2>&1 </dev/null &)"
    leaves = {at for at in range(MANY) if at % 7 == 3}
    commands = [f"{daemon}; echo {at}" if at in leaves else f"echo {at}" for at in range(MANY)]
    for at, job_id in enumerate(any_worker.submit_all(commands)):
        job = any_worker.ended(job_id)
        assert (job.state, job.text, job.attempts) == ("SUCCEEDED", f"{at}\n", 1), job
        if any_worker.contained:
            assert job.leftover == (at in leaves), job
    eventually(lambda: not running(seconds))


def running(seconds: int) -> bool:
    words = f"sleep\0{seconds}\0".encode()
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if words in entry.read_bytes():
                return True
        except OSError:
            continue
    return False


def test_who_kills_its_launcher_costs_no_job_behind_it(any_worker: Worker) -> None:
    """Launchers of several jobs die at the same time. Each job gets its own result. (One whose start
    the launcher was at when it died may be lost, and runs again: on a host that is late.) Without a
    cgroup the worker could take one killed launcher's job for another's."""
    if not any_worker.contained:
        pytest.skip("what runs in no cgroup is found by its environment, which a zombie has not")
    commands = ["kill -9 $PPID; exit 5" if at % 9 == 4 else f"echo {at}" for at in range(MANY)]
    for at, job_id in enumerate(any_worker.submit_all(commands)):
        job = any_worker.ended(job_id)
        assert job.attempts in (1, 2), job
        if at % 9 == 4:
            assert job.exit_code == 5, job
        else:
            assert (job.state, job.text) == ("SUCCEEDED", f"{at}\n"), job


# ── the launcher itself ──


@pytest.fixture
def cgroup() -> Iterator[str]:
    home = own_cgroup()
    if home is None or not os.access(home, os.W_OK):
        pytest.skip("this process may make no cgroup")
    made = Cgroup(home / f"test-{os.getpid()}-{time.time_ns()}")
    yield made.path
    eventually(lambda: made.empty)
    os.rmdir(made.path)  # noqa: PTH106


def test_a_job_behind_one_that_goes_on_is_given_back(cgroup: str, supervisor: Path) -> None:
    with talking(supervisor, HOLD_S) as launcher:
        long = launcher.ask(SPAWN, "sleep 0.4", cgroup)
        behind = [launcher.ask(SPAWN | BEHIND, "true", cgroup) for _ in range(2)]
        assert launcher.answer() == (SPAWNED, long, b"")
        for number in behind:
            assert launcher.answer() == (OCCUPIED, number, b"")
        assert launcher.answer() == (ENDED, long, b""), "its supervisor looks what is left"
        still = launcher.ask(SPAWN | BEHIND, "true", cgroup)
        assert launcher.answer() == (OCCUPIED, still, b""), "until its supervisor has looked"
        free = launcher.ask(SPAWN, "true", cgroup)
        assert launcher.answer()[:2] in ((ENDED, free), (SPAWNED, free))


def test_a_job_behind_one_that_leaves_a_process_is_given_back(
    cgroup: str, supervisor: Path
) -> None:
    with talking(supervisor) as launcher:
        leaves = launcher.ask(SPAWN, "sleep 0.5 & exit 0", cgroup)
        behind = launcher.ask(SPAWN | BEHIND, "true", cgroup)
        assert launcher.answer() == (ENDED, leaves, b"")
        assert launcher.answer() == (OCCUPIED, behind, b"")


def test_jobs_behind_short_ones_start(cgroup: str, supervisor: Path) -> None:
    with talking(supervisor) as launcher:
        first = launcher.ask(SPAWN, "true", cgroup)
        fails = launcher.ask(SPAWN | BEHIND, "exit 3", cgroup)
        last = launcher.ask(SPAWN | BEHIND, "true", cgroup)
        for number in (first, fails, last):
            assert launcher.answer() == (ENDED, number, EMPTY)


def test_a_cgroup_below_its_own_counts_as_left(cgroup: str, supervisor: Path) -> None:
    with talking(supervisor) as launcher:
        below = f"{cgroup}/below"
        makes = launcher.ask(SPAWN, f"mkdir {below}", cgroup)
        assert launcher.answer() == (ENDED, makes, b"")
        os.rmdir(below)  # noqa: PTH106


def test_a_cgroup_that_is_gone_is_told_and_the_launcher_stays_in_its_own(
    cgroup: str, supervisor: Path
) -> None:
    with talking(supervisor) as launcher:
        moved = launcher.ask(MOVE, "", cgroup)
        assert launcher.answer() == (MOVED, moved, EMPTY)
        gone = launcher.ask(SPAWN, "true", f"{cgroup}/gone")
        kind, number, words = launcher.answer()
        assert (kind, number) == (FAILED, gone)
        assert b"No such file" in words
        again = launcher.ask(SPAWN, "true", cgroup)
        assert launcher.answer() == (ENDED, again, EMPTY)


def test_without_a_cgroup_nothing_is_known_to_be_empty(supervisor: Path) -> None:
    with talking(supervisor) as launcher:
        job = launcher.ask(SPAWN, "true")
        assert launcher.answer() == (ENDED, job, b"")


class Job:
    """A spawn and a cgroup, as far as the choice of a launcher looks at them."""

    tenant: "Job | None" = None


def a_launcher(place: Job | None, *requests: Job | None, sent_at: float | None = None) -> Launcher:
    launcher = Launcher(1, None, cgroup=place)  # type: ignore[arg-type]
    sent_at = sent_at or time.monotonic() + 60  # whatever this host does meanwhile
    for number, job in enumerate(requests):
        launcher.pending.append(Pending(number, job, place, sent_at))  # type: ignore[arg-type]
    return launcher


def test_a_launcher_of_a_release_before_gets_one_job_at_a_time() -> None:
    """It does not know BEHIND: it would start the job in an occupied cgroup. A supervisor meets one
    when its release was taken back on the disk while it ran."""
    job, place = Job(), Job()
    place.tenant = job
    old = a_launcher(place, job)
    assert not old.takes_more
    old.knows_behind = True
    assert old.takes_more
    full = a_launcher(place, *[job] * MOST_PENDING)
    full.knows_behind = True
    assert not full.takes_more
    idle = a_launcher(place)
    assert not idle.takes_more, "its cgroup has a job"
    place.tenant = None
    assert idle.takes_more


def test_no_job_is_sent_behind_a_start_that_may_hang() -> None:
    job, place = Job(), Job()
    place.tenant = job
    one = a_launcher(place, job)
    one.knows_behind = True
    other = a_launcher(None, None, None)
    assert next_launcher([one, other]) is one
    hangs = a_launcher(place, job, sent_at=time.monotonic() - 2 * MAY_HANG_S)
    hangs.knows_behind = True
    assert next_launcher([hangs, other]) is other
    full = a_launcher(None, None, None, None)
    assert next_launcher([hangs, full]) is None, "it waits"


def test_a_launcher_is_not_woken_while_enough_are_at_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spawn, "PROCESSORS", 2)
    idle, *busy = a_launcher(None), *(a_launcher(None, None) for _ in range(3))
    assert next_launcher([*busy[:2], idle]) is idle
    assert next_launcher([*busy, idle]) is busy[0]
    full = [a_launcher(None, *[None] * MOST_PENDING) for _ in busy]
    assert next_launcher([*full, idle]) is idle
