"""A job's processes, also those that left its group: found through the kernel's parent links and
the HODEI_JOB_ID and HODEI_LEASE they carry (both: lease numbers are of one database, and workers of
several may share a host).

The supervisor is a child subreaper: what a job leaves behind becomes its child. Pids of strangers
are never waited for nor killed. What the kernel says is read as bytes: a process may call itself
whatever it likes."""

import ctypes
import functools
import os
import pwd
import signal
import time
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import NamedTuple

PR_SET_CHILD_SUBREAPER = 36
TICKS_A_S = os.sysconf("SC_CLK_TCK")


class Stat(NamedTuple):
    """Of a process that lives: what /proc/PID/stat says of it."""

    parent: int
    group: int
    session: int
    started: int  # clock ticks since the host's start: with the pid it names one process for ever


def become_subreaper() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(pid: int) -> list[int]:
    """Of all its threads; empty when it is gone."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_bytes().split())
    except OSError:
        return found
    return found


SHORT = 2000
"""Bytes. The kernel answers by the page: what is shorter is all there is."""


@functools.cache
def _orphans_file() -> int:
    return os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY | os.O_CLOEXEC)


def orphans() -> list[int]:
    """What jobs left behind and the kernel gave to us: it gives them to the first thread, whose own
    children they are then. Jobs' own processes are children of launchers, and our launchers are
    among these (launchers.py)."""
    text = part = os.pread(_orphans_file(), 65_536, 0)
    while len(part) > SHORT:
        text += (part := os.pread(_orphans_file(), 65_536, len(text)))
    return [int(pid) for pid in text.split()] if text else []


def has_marks(pid: int, job_id: str, lease: int) -> bool:
    """By its environment at its start; False for strangers and for the dead."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return (
        f"HODEI_LEASE={lease}".encode() in environment
        and f"HODEI_JOB_ID={job_id}".encode() in environment
    )


def stat(pid: int) -> Stat | None:
    """None: it is gone, or a zombie that only waits to be reaped. Its name may hold anything, also
    brackets: it ends at the last one."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    state, parent, group, session, *rest = text.rpartition(b")")[2].split()
    return None if state in b"ZX" else Stat(int(parent), int(group), int(session), int(rest[15]))


def start_ticks(pid: int) -> int:
    """When, in clock ticks since the host's start; -1: it is gone."""
    found = stat(pid)
    return found.started if found else -1


def now_ticks() -> int:
    """In the same unit."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS_A_S)


def is_dead(pid: int) -> bool:
    """Gone, or a zombie that only waits to be reaped."""
    return stat(pid) is None


def with_descendants(roots: Iterable[int]) -> set[int]:
    """The roots and all that descend from them, as far as they live."""
    found: set[int] = set()
    queue = list(roots)
    while queue:
        pid = queue.pop()
        if pid not in found and not is_dead(pid):
            found.add(pid)
            queue += children(pid)
    return found


def marked_processes(job_id: str, lease: int) -> set[int]:
    """Every process that belongs to it, by a look at all of /proc: about 1 ms for 40 processes."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return {pid for pid in pids if has_marks(pid, job_id, lease) and not is_dead(pid)}


def kill_attempt(job_id: str, lease: int) -> None:
    """All that carry its marks."""
    send_signal(marked_processes(job_id, lease), signal.SIGKILL)


def find_newborn(job_id: str, lease: int, since: int, known: Container[int]) -> int:
    """The process that a launcher started for this attempt and could not tell us of before it died,
    as far as one of our children must be it; 0: there is none (yet). It may be a zombie already."""
    for pid in orphans():
        if pid in known:
            continue
        try:
            text = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        of_its_own = int(text[3]) == pid and int(text[19]) >= since
        if has_marks(pid, job_id, lease) or (of_its_own and text[0] in b"ZX"):
            return pid
    return 0


def processes_of_dead_attempt(job_id: str, lease: int, seen: Iterable[tuple[int, int]]) -> set[int]:
    """Of an attempt whose supervisor died: what carries its lease, what of those once seen still
    lives, and what descends from them or is in a session that one of them began."""
    seen = list(seen)
    known = {pid for pid, begun in seen if start_ticks(pid) == begun}
    leaders = {pid: begun for pid, begun in seen if start_ticks(pid) in (begun, -1)}
    return marked_processes(job_id, lease) | with_descendants(known) | _in_sessions(leaders)


def _in_sessions(leaders: dict[int, int]) -> set[int]:
    """By a look at all of /proc. A session's number is nobody else's while it has a member."""
    found = set()
    for entry in Path("/proc").iterdir():
        process = stat(int(entry.name)) if entry.name.isdigit() else None
        if process and process.session in leaders and process.started >= leaders[process.session]:
            found.add(int(entry.name))
    return found


def send_signal(pids: Iterable[int], number: signal.Signals) -> None:
    """To each that is still there and that we may signal. TERM is followed by CONT: what is stopped
    could not hear it."""
    for pid in pids:
        _send_signal(os.kill, pid, number)


def send_to_group(leader: int, number: signal.Signals) -> None:
    _send_signal(os.killpg, leader, number)


def _send_signal(kill: Callable[[int, int], None], pid: int, number: signal.Signals) -> None:
    for each in (number, signal.SIGCONT) if number == signal.SIGTERM else (number,):
        try:
            kill(pid, each)
        except (ProcessLookupError, PermissionError):
            return


def owner(pid: int) -> str:
    """Whose it is, by name where there is one."""
    try:
        uid = os.stat(f"/proc/{pid}").st_uid  # noqa: PTH116
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
    except OSError:
        return "nobody any more"


def lower_oom_score() -> None:
    """When memory is short the kernel is to take others; only root may ask for that."""
    _set_oom_score(os.getpid(), -500)


def _set_oom_score(pid: int, adjustment: int) -> None:
    try:
        with open(f"/proc/{pid}/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123  a hot path
            file.write(str(adjustment))
    except OSError:
        return


def oom_kills() -> int:
    """How many processes of this host the kernel has killed for want of memory, in cgroups or at
    large."""
    _, name, rest = Path("/proc/vmstat").read_bytes().partition(b"\noom_kill ")
    return int(rest.partition(b"\n")[0]) if name else 0


def reap_orphans(but: Container[int] = ()) -> None:
    """Zombies that jobs left to us; exit codes of the jobs' own processes are waited for
    elsewhere."""
    for pid in orphans():
        if pid not in but:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue
