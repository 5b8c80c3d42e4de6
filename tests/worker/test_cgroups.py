"""Cgroups of supervisors that were killed are removed by the next one, with all that is in them."""

import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from hodei_worker.supervisor.cgroups import own_cgroup
from tests.eventually import eventually, gone
from tests.hosts import make
from tests.running import Hodei
from tests.worker_process import Worker, cgroup_of, supervisors

DAEMON = "(env -i /usr/bin/setsid /bin/sleep 777 >/dev/null 2>&1 </dev/null &)"


@pytest.fixture
def one(host_system: Hodei, hosts_folder: Path) -> Iterator[Worker]:
    worker = make(host_system, hosts_folder, "root", "w")
    if own_cgroup() is None:
        pytest.skip("no cgroup (version 2) here")
    yield worker
    worker.stop()


@pytest.fixture
def homes(one: Worker) -> Iterator[list[Path]]:
    """Two cgroups in which a worker may be started."""
    home = own_cgroup()
    assert home
    made = [home / f"test-{uuid.uuid4().hex[:8]}" for _ in range(2)]
    for folder in made:
        folder.mkdir()
    yield made
    one.stop()
    for folder in made:
        eventually(lambda folder=folder: removed(folder))  # type: ignore[misc]


def removed(folder: Path) -> bool:
    for path, _, _ in os.walk(folder, topdown=False):
        try:
            os.rmdir(path)  # noqa: PTH106
        except OSError:
            continue
    return not folder.exists()


def start_in(worker: Worker, home: Path, token: str | None = None) -> None:
    worker.prefix = ("sh", "-c", f'echo 0 >{home}/cgroup.procs && exec "$@"', "sh")
    worker.up(token)


def ours_of(worker: Worker) -> Path:
    """The folder of its supervisor, as we see it."""
    (pid,) = supervisors(worker.state)
    home = own_cgroup()
    assert home
    above, _, name = cgroup_of(pid).partition("/hodei-")
    return home / above.lstrip("/") / f"hodei-{name.partition('/')[0]}"


def kill(worker: Worker) -> None:
    before = supervisors(worker.state)
    worker.kill()
    eventually(lambda: all(map(gone, before)))


def test_the_next_supervisor_removes_an_empty_one(one: Worker) -> None:
    one.up(one.hodei.token())
    assert one.finish("true").state == "SUCCEEDED"
    before = ours_of(one)
    kill(one)
    assert (before / "jobs").is_dir()
    one.up()
    assert not before.exists()
    assert ours_of(one).is_dir()


def test_the_agent_that_lives_sees_to_it(one: Worker) -> None:
    one.up(one.hodei.token())
    before = ours_of(one)
    os.kill(supervisors(one.state)[0], signal.SIGKILL)
    eventually(lambda: not before.exists())


def test_what_ran_in_another_cgroup_is_killed_and_removed(one: Worker, homes: list[Path]) -> None:
    """Under systemd each supervisor has a scope of its own."""
    start_in(one, homes[0], one.hodei.token())
    job_id = one.submit(f"{DAEMON}; echo up; sleep 600", on_lost="fail")
    one.wrote(job_id, "up")
    before = ours_of(one)
    assert before.is_relative_to(homes[0])
    kill(one)
    left = [int(pid) for path in before.rglob("cgroup.procs") for pid in path.read_text().split()]
    assert len(left) >= 3
    start_in(one, homes[1])
    job = one.ended(job_id)
    assert (job.reason, all(map(gone, left)), before.exists()) == ("WORKER_LOST", True, False)
    assert "its processes were killed" in job.message
    assert ours_of(one).is_relative_to(homes[1])


def test_empty_ones_of_state_folders_that_are_gone_are_removed(one: Worker) -> None:
    home = own_cgroup()
    assert home
    dead = home / f"hodei-fe.{uuid.uuid4().hex[:8]}-4194304"  # beyond the last process id
    living = home / f"hodei-fe.{uuid.uuid4().hex[:8]}-{os.getpid()}"
    foreign = home / f"hodei-test-{uuid.uuid4().hex[:8]}"
    for folder in (dead, living, foreign):
        (folder / "jobs/1").mkdir(parents=True)
    try:
        one.up(one.hodei.token())
        assert (dead.exists(), living.exists(), foreign.exists()) == (False, True, True)
    finally:
        assert all(map(removed, (dead, living, foreign)))
