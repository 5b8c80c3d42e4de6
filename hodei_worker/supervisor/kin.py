"""Finds and signals the processes of jobs, also those that left the job's group. They are found by
the kernel's parent links and by HODEI_JOB_ID and HODEI_LEASE in their environment. (Both are
needed: a lease is unique in one database, and workers of several databases may share a host.)

The supervisor is a child subreaper: processes whose parents end become its children. Processes of
others are never waited for nor killed. The kernel's files are read as bytes, because a process may
give itself any name."""

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
    """The fields of /proc/PID/stat that are used here, of a living process."""

    parent: int
    group: int
    session: int
    started: (
        int  # clock ticks since the host's start; pid and start together name one process for ever
    )


def become_subreaper() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(pid: int) -> list[int]:
    """Returns the children of all its threads; none if it is gone."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_bytes().split())
    except OSError:
        return found
    return found


SHORT = 2000
"""Bytes. The kernel answers in pages: a shorter answer is complete."""


@functools.cache
def _orphans_file() -> int:
    return os.open(f"/proc/self/task/{os.getpid()}/children", os.O_RDONLY | os.O_CLOEXEC)


def orphans() -> list[int]:
    """Returns our children: processes that jobs have left, which the kernel gives to our first
    thread, and our launchers. Jobs' own processes are children of the launchers (launchers.py)."""
    text = part = os.pread(_orphans_file(), 65_536, 0)
    while len(part) > SHORT:
        text += (part := os.pread(_orphans_file(), 65_536, len(text)))
    return [int(pid) for pid in text.split()] if text else []


def has_marks(pid: int, job_id: str, lease: int) -> bool:
    """Whether the environment at its start has the attempt's marks; False if it is gone, or not
    ours."""
    try:
        environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    return (
        f"HODEI_LEASE={lease}".encode() in environment
        and f"HODEI_JOB_ID={job_id}".encode() in environment
    )


def stat(pid: int) -> Stat | None:
    """Returns None if the process is gone or a zombie. Its name may contain anything, also
    brackets; the fields begin behind the last one."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    state, parent, group, session, *rest = text.rpartition(b")")[2].split()
    return None if state in b"ZX" else Stat(int(parent), int(group), int(session), int(rest[15]))


def start_ticks(pid: int) -> int:
    """Returns when it started, in clock ticks since the host's start; -1 if it is gone."""
    found = stat(pid)
    return found.started if found else -1


def group(pid: int) -> int:
    """Returns its process group; -1 if it is gone."""
    found = stat(pid)
    return found.group if found else -1


def now_ticks() -> int:
    """Returns the time in clock ticks since the host's start."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * TICKS_A_S)


def is_dead(pid: int) -> bool:
    """Whether it is gone or a zombie."""
    return stat(pid) is None


def with_descendants(roots: Iterable[int]) -> set[int]:
    """Returns the living processes among the roots and their descendants."""
    found: set[int] = set()
    queue = list(roots)
    while queue:
        pid = queue.pop()
        if pid not in found and not is_dead(pid):
            found.add(pid)
            queue += children(pid)
    return found


def marked_processes(job_id: str, lease: int) -> set[int]:
    """Returns every process with the attempt's marks. It reads all of /proc: about 1 ms for 40
    processes."""
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return {pid for pid in pids if has_marks(pid, job_id, lease) and not is_dead(pid)}


def kill_attempt(job_id: str, lease: int) -> None:
    """Kills every process with the attempt's marks."""
    send_signal(marked_processes(job_id, lease), signal.SIGKILL)


def find_newborn(
    job_id: str, lease: int, since: int, known: Container[int], cgroup: str | None
) -> int:
    """Returns the process that a launcher started for this attempt but did not report before it
    died, if one of our children must be it; 0 if there is none (yet). It may be a zombie, which has
    no environment: then it is known by its cgroup. (Without a cgroup it is any zombie that no job
    has; where launchers of several jobs die at once, it may be another's.) `since`: clock ticks;
    `known`: pids that are not candidates; `cgroup`: path of the attempt's own."""
    found = [pid for pid in orphans() if pid not in known]
    for pid in found:
        if has_marks(pid, job_id, lease):
            return pid
    zombies = {0: 0}  # pid → when it started: a job before may have left one in the same cgroup
    for pid in found:
        try:
            text = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        except OSError:
            continue
        of_its_own = int(text[3]) == pid and int(text[19]) >= since
        if of_its_own and text[0] in b"ZX" and (cgroup is None or _is_in(pid, cgroup)):
            zombies[pid] = int(text[19])
    return max(zombies, key=zombies.__getitem__)


def _is_in(pid: int, cgroup: str) -> bool:
    """Whether a process, or a zombie, is in a cgroup of ours. The kernel may show another beginning
    of its path; the end, with the supervisor's pid, is its own."""
    end = "/".join(cgroup.split("/")[-3:])
    try:
        return f"/{end}\n" in Path(f"/proc/{pid}/cgroup").read_text()
    except OSError:
        return False


def processes_of_dead_attempt(
    job_id: str, lease: int, seen: Iterable[tuple[int, int]], sessions: set[int]
) -> set[int]:
    """Returns the processes of an attempt whose supervisor died: those with its marks, those of
    `seen` (pid, start) that live, their descendants, and whoever is in a session with one of them
    that one of the attempt began. `sessions`: those of earlier calls, to which this call adds; it
    begins empty, and the calls follow each other at once."""
    pids = dict(seen)
    known = [pid for pid, begun in pids.items() if start_ticks(pid) == begun]
    found = marked_processes(job_id, lease) | with_descendants(known)
    used = {process.session for process in map(stat, found) if process}
    sessions |= used & (pids.keys() | found)
    return found | _in_sessions(sessions)


def _in_sessions(sessions: Container[int]) -> set[int]:
    """Reads all of /proc. The number of a session is not used again while it has a member; that of
    one without may be another's by now, whose leader has ended as well."""
    found = set()
    for entry in Path("/proc").iterdir():
        process = stat(int(entry.name)) if entry.name.isdigit() else None
        if process and process.session in sessions:
            found.add(int(entry.name))
    return found


def send_signal(pids: Iterable[int], number: signal.Signals) -> None:
    """Signals each process that exists and that we may signal. CONT follows a signal that asks for
    the end, because a stopped process would not act on it."""
    for pid in pids:
        _send_signal(os.kill, pid, number)


def send_to_group(leader: int, number: signal.Signals) -> None:
    _send_signal(os.killpg, leader, number)


def _send_signal(kill: Callable[[int, int], None], pid: int, number: signal.Signals) -> None:
    alone = number in (signal.SIGKILL, signal.SIGCONT)
    for each in (number,) if alone else (number, signal.SIGCONT):
        try:
            kill(pid, each)
        except (ProcessLookupError, PermissionError):
            return


def owner(pid: int) -> str:
    """Returns the name of its user, or a text if there is none."""
    try:
        uid = os.stat(f"/proc/{pid}").st_uid  # noqa: PTH116
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
    except OSError:
        return "nobody any more"


def lower_oom_score() -> None:
    """Asks the kernel to kill other processes first when memory is short. Only root may do so; else
    it has no effect."""
    _set_oom_score(os.getpid(), -500)


def _set_oom_score(pid: int, adjustment: int) -> None:
    try:
        with open(f"/proc/{pid}/oom_score_adj", "w", encoding="ascii") as file:  # noqa: PTH123  a hot path
            file.write(str(adjustment))
    except OSError:
        return


def oom_kills() -> int:
    """Returns how many processes of this host the kernel has killed for lack of memory since its
    start."""
    _, name, rest = Path("/proc/vmstat").read_bytes().partition(b"\noom_kill ")
    return int(rest.partition(b"\n")[0]) if name else 0


def kill_forks(command: list[str], known: Container[int]) -> None:
    """Kills those of our children whose command line begins so, as that of their dead parent did,
    without `known`: they have not become another program yet."""
    begins = [os.fsencode(word) for word in command]
    for pid in orphans():
        try:
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if pid not in known and words[: len(begins)] == begins:
            send_signal([pid], signal.SIGKILL)


def reap(pids: Iterable[int]) -> None:
    """Waits for the zombies among these children of ours."""
    for pid in pids:
        try:
            os.waitpid(pid, os.WNOHANG)
        except ChildProcessError:
            continue
