"""The supervisor's launchers, real processes, where the rare happens: a launcher is stopped or
killed, cannot be told or replaced, or may not enter a cgroup; and what waits there."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from hodei_worker.supervisor import crew, moves
from hodei_worker.supervisor import launchers as program
from hodei_worker.supervisor.cgroups import Cgroup, Cgroups, kill_dead, own_cgroup
from hodei_worker.supervisor.launchers import Aborted, Launchers
from hodei_worker.supervisor.spawn import COUNT, Launcher
from tests.hung import HungProgram
from tests.worker.launching import Job, eventually, launching, run, run_all

pytestmark = pytest.mark.usefixtures("supervisor")


@pytest.fixture
def cgroups() -> Iterator[Cgroups]:
    home = own_cgroup()
    if home is None or not os.access(home, os.W_OK):
        pytest.skip("this process may make no cgroup")
    ours = home / f"test-{time.time_ns()}-{os.getpid()}"
    for folder in (ours, ours / "supervisor", ours / "jobs"):
        folder.mkdir()
    yield Cgroups(home, ours)
    kill_dead(home, f"{ours.name}")
    assert not ours.exists()


def send(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


async def stop(pids: set[int]) -> None:
    """Returns when they are stopped: before, one may still read a request."""
    send(pids, signal.SIGSTOP)
    await eventually(lambda: all(state_of(pid) == "T" for pid in pids))


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def is_hanging(launchers: Launchers, job: Job) -> bool:
    return any(one.hangs and one.pending[0].spawn is job for one in launchers._crew.all)


def is_in(launcher: Launcher, cgroup: Cgroup) -> bool:
    return str(launcher.pid) in (Path(cgroup.path) / "cgroup.procs").read_text().split()


def test_launchers_that_are_stopped_are_continued(tmp_path: Path) -> None:
    async def test() -> None:
        async with launching() as launchers:
            await stop(launchers.pids)
            await run_all(launchers, tmp_path / "ran")

    run(test())


def test_jobs_that_wait_at_a_launcher_that_is_killed_run_once(tmp_path: Path) -> None:
    async def test() -> None:
        async with launching() as launchers:
            before = launchers.pids
            await stop(before)
            asyncio.get_running_loop().call_later(0.05, send, before, signal.SIGKILL)
            await run_all(launchers, tmp_path / "ran")
            await eventually(lambda: len(launchers.pids) == COUNT)
            assert not launchers.pids & before

    run(test())


def test_a_launcher_that_cannot_be_replaced_at_once_is_replaced_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    async def test() -> None:
        async with launching() as launchers:

            def refuse(*_: object) -> Launcher:
                raise BlockingIOError("no process is left")

            with monkeypatch.context() as patch:
                patch.setattr(Launcher, "start", refuse)
                send(launchers.pids, signal.SIGKILL)
                await eventually(lambda: not launchers.pids)
                job = Job(tmp_path / "first", "first")
                launchers.spawn(job)
            await eventually(lambda: job.has_ended)
            await eventually(lambda: len(launchers.pids) == COUNT)
            await run_all(launchers, tmp_path / "ran")

    run(test())
    assert "cannot start a launcher: no process is left" in capfd.readouterr().err


def test_a_launcher_that_cannot_be_told_to_move_stays(
    tmp_path: Path,
    cgroups: Cgroups,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Its socket is full."""
    monkeypatch.setattr(moves, "MOVE_OUT_S", 3600)

    async def test() -> None:
        async with launching(cgroups) as launchers:
            long = Job(tmp_path / "long", "long", "sleep 1000")
            launchers.spawn(long)
            await eventually(lambda: long.told)
            assert long.cgroup
            (launcher,) = [one for one in launchers._crew.all if one.cgroup is long.cgroup]
            await stop({launcher.pid})
            with pytest.raises(BlockingIOError):
                while True:
                    launcher.link.send(0, 0, ["x" * 20_000], (0, 0), ())
            assert not launchers.vacate(long.cgroup)
            assert launcher.cgroup is long.cgroup
            launcher.link.take_unread()
            send({launcher.pid}, signal.SIGCONT)
            assert not launchers.vacate(long.cgroup), "it has been told, and is still in it"
            await eventually(lambda: long.cgroup and not long.cgroup.guests)
            long.cgroup.kill()
            await eventually(lambda: long.has_ended)
            await run_all(launchers, tmp_path / "ran")

    run(test())
    assert "cannot be told to move" in capfd.readouterr().err


def test_what_was_behind_a_start_that_hangs_is_taken_back(
    tmp_path: Path, cgroups: Cgroups, hung: HungProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also a move. Wherever the launcher is then, it counts as no job's process."""

    async def test() -> None:
        async with launching(cgroups) as launchers:
            hangs = Job(tmp_path / "hangs", "hangs")
            hangs.argv = hung.command
            launchers.spawn(hangs)
            (launcher,) = [one for one in launchers._crew.all if one.pending[-1].spawn]
            assert hangs.cgroup
            launchers.vacate(hangs.cgroup)
            behind = Job(tmp_path / "behind", "behind")
            with monkeypatch.context() as patch:
                patch.setattr(program, "next_launcher", lambda _: launcher)
                launchers.spawn(behind)
            assert launcher.pending[-1].spawn is behind
            await eventually(lambda: behind.has_ended)
            assert not hangs.told
            hung.release()
            await eventually(lambda: hangs.has_ended)
            await eventually(lambda: not launcher.pending)
            assert launcher.cgroup
            assert is_in(launcher, launcher.cgroup), "it was told again to move"
            await run_all(launchers, tmp_path / "ran")
            for one in launchers._crew.all:
                guest_of = [place for place in one.may_be_in if one.pid in place.guests]
                assert any(is_in(one, place) for place in guest_of)

    run(test())


def test_where_all_launchers_hang_and_there_may_be_no_more_jobs_wait(
    tmp_path: Path, hung: HungProgram, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(crew, "MOST_LAUNCHERS", COUNT + 1)

    async def test() -> None:
        async with launching() as launchers:
            hanging = [Job(tmp_path / "hangs", "hangs") for _ in range(COUNT + 1)]
            for job in hanging:
                job.argv = hung.command
                launchers.spawn(job)
            await eventually(lambda: all(is_hanging(launchers, job) for job in hanging))
            waits = Job(tmp_path / "waits", "waits")
            launchers.spawn(waits)
            await asyncio.sleep(crew.REPLACE_S + 5 * program.LOOK_EVERY_S)
            assert (waits.told, len(launchers.pids)) == ([], COUNT + 1)
            assert launchers.abort(waits) is Aborted.NOT_BEGUN
            last = Job(tmp_path / "last", "last")
            launchers.spawn(last)
            hung.release()
            await eventually(lambda: all(job.has_ended for job in (*hanging, last)))
            await eventually(lambda: len(launchers.pids) == COUNT)
            assert not waits.told

    run(test())


def test_a_start_that_is_ended(tmp_path: Path, cgroups: Cgroups, hung: HungProgram) -> None:
    async def test() -> None:
        async with launching(cgroups) as launchers:
            hangs = Job(tmp_path / "hangs", "hangs")
            hangs.argv = hung.command
            await stop(launchers.pids)
            launchers.spawn(hangs)
            assert launchers.abort(hangs) is Aborted.NOT_BEGUN
            send(launchers.pids, signal.SIGCONT)
            launchers.spawn(hangs)
            await eventually(lambda: is_hanging(launchers, hangs))
            assert not hangs.told
            assert launchers.abort(hangs) is Aborted.KILLED
            await eventually(lambda: hangs.has_ended)
            assert hangs.told in (["ended 9"], ["started", "ended 9"])
            await run_all(launchers, tmp_path / "ran")

    run(test())


def test_nothing_is_told_of_a_start_that_was_given_up(tmp_path: Path, hung: HungProgram) -> None:
    async def test() -> None:
        async with launching() as launchers:
            hangs = Job(tmp_path / "hangs", "hangs")
            hangs.argv = hung.command
            launchers.spawn(hangs)
            await eventually(lambda: is_hanging(launchers, hangs))
            assert launchers.abandon(hangs)
            assert not launchers.abandon(hangs)
            await run_all(launchers, tmp_path / "ran")
            hung.release()
            await eventually(hung.ran.exists)
            await eventually(lambda: not any(one.pending for one in launchers._crew.all))
            assert not hangs.told

    run(test())


class Removed(Cgroups):
    """Somebody removes each cgroup before a launcher enters it."""

    most = 10**6

    def take_cgroup(self) -> Cgroup:
        cgroup = super().take_cgroup()
        if self.most:
            self.most -= 1
            with suppress(OSError):  # another job's process may have been there just now
                Path(cgroup.path).rmdir()
        return cgroup


def test_a_job_whose_cgroup_is_gone_gets_another(tmp_path: Path, cgroups: Cgroups) -> None:
    async def test() -> None:
        cgroups.__class__, cgroups.most = Removed, COUNT + 2  # type: ignore[attr-defined]
        async with launching(cgroups) as launchers:
            jobs = await run_all(launchers, tmp_path / "ran")
            assert all(job.cgroup for job in jobs)

    run(test())


def test_without_a_cgroup_that_it_may_enter_no_job_has_one(
    tmp_path: Path, cgroups: Cgroups
) -> None:
    """The launchers are replaced: those before may be in the cgroup of a job."""

    async def test() -> None:
        async with launching(cgroups) as launchers:
            before = launchers.pids
            long = Job(tmp_path / "long", "long", "sleep 1000")
            launchers.spawn(long)
            await eventually(lambda: long.told)
            assert long.cgroup
            cgroups.__class__ = Removed
            others = [Job(tmp_path / "other", "other", "sleep 0.3") for _ in range(2 * COUNT)]
            for job in others:
                launchers.spawn(job)
            await eventually(lambda: all(job.told for job in others))
            assert {job.cgroup for job in others} >= {None}
            await eventually(lambda: not launchers.pids & before and len(launchers.pids) == COUNT)
            for job in await run_all(launchers, tmp_path / "ran"):
                assert job.cgroup is None
            assert not long.cgroup.guests
            long.cgroup.kill()

    run(test())
