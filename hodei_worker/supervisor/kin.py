"""A job's processes, also those that left its group: found through the kernel's parent links and the HODEI_JOB_ID and HODEI_LEASE they
carry (both: lease numbers are of one database, and workers of several may share a host).

The supervisor is a child subreaper: what a job leaves behind becomes its child. Pids of strangers are never waited for nor killed.
What the kernel says is read as bytes: a process may call itself whatever it likes.
"""

import ctypes
import functools
import os
import pwd
import signal
from collections.abc import Callable, Container, Iterable
from pathlib import Path
from typing import NamedTuple

PR_SET_CHILD_SUBREAPER = 36


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
    """What jobs left behind and the kernel gave to us: it gives them to the first thread, whose own children they are then. Jobs' own
    processes are children of the threads that spawn (spawner.py)."""
    said = part = os.pread(_orphans_file(), 65_536, 0)
    while len(part) > SHORT:
        said += (part := os.pread(_orphans_file(), 65_536, len(said)))
    return [int(pid) for pid in said.split()] if said else []


def belongs(pid: int, job_id: str, lease: int) -> bool:
    """By its environment at its start; False for strangers and for the dead."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return f"HODEI_LEASE={lease}".encode() in environment and f"HODEI_JOB_ID={job_id}".encode() in environment


def stat(pid: int) -> Stat | None:
    """None: it is gone, or a zombie that only waits to be reaped. Its name may hold anything, also
    brackets: it ends at the last one."""
    try:
        said = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    state, parent, group, session, *rest = said.rpartition(b")")[2].split()
    return None if state in b"ZX" else Stat(int(parent), int(group), int(session), int(rest[15]))


def is_dead(pid: int) -> bool:
    """Gone, or a zombie that only waits to be reaped."""
    return stat(pid) is None


def family(roots: Iterable[int]) -> set[int]:
    """The roots and all that descend from them, as far as they live."""
    found: set[int] = set()
    queue = list(roots)
    while queue:
        pid = queue.pop()
        if pid not in found and not is_dead(pid):
            found.add(pid)
            queue += children(pid)
    return found


def of_attempt(job_id: str, lease: int) -> set[int]:
    """Every process that belongs to it, by a look at all of /proc: about 1 ms for 40 processes."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return {pid for pid in pids if belongs(pid, job_id, lease) and not is_dead(pid)}


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """To each that is still there and that we may signal. TERM is followed by CONT: what is stopped
    could not hear it."""
    for pid in pids:
        _send(os.kill, pid, number)


def send_to_group(leader: int, number: signal.Signals) -> None:
    _send(os.killpg, leader, number)


def _send(kill: Callable[[int, int], None], pid: int, number: signal.Signals) -> None:
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


def spare_me() -> None:
    """When memory is short the kernel is to take others; only root may ask for that."""
    _score(os.getpid(), -500)


def offer_as_victim(pid: int) -> None:
    """When memory is short the kernel is to take the job, not the worker."""
    _score(pid, 500)


def _score(pid: int, adjustment: int) -> None:
    try:
        with open(f"/proc/{pid}/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123  a hot path
            file.write(str(adjustment))
    except OSError:
        return


def oom_kills() -> int:
    """How many processes of this host the kernel has killed for want of memory, in cgroups or at large."""
    _, name, rest = Path("/proc/vmstat").read_bytes().partition(b"\noom_kill ")
    return int(rest.partition(b"\n")[0]) if name else 0


def reap_orphans(but: Container[int] = ()) -> None:
    """Zombies that jobs left to us; exit codes of the jobs' own processes are waited for elsewhere."""
    for pid in orphans():
        if pid not in but:
            try:
                os.waitpid(pid, os.WNOHANG)
            except ChildProcessError:
                continue
