"""`python -I -S launcher.py SOCKET [UID GID GROUP…]`: starts the jobs' processes for the
supervisor, is their parent, and reports their ends.

It is a process of its own, with one thread, because the kernel moves whole processes into a cgroup:
it enters the attempt's cgroup before it spawns, so that the job is born there and cannot escape.
With a job user it forks, and the child gives up its rights before it enters the job's folder,
searches its program or takes its environment: no code with more rights than the job's touches them.

It imports little, and of three modules only the part in C: each fork copies their page tables.

Most jobs of a busy worker take its fast path (fast_path.c), if that could be compiled."""

import _signal as signal  # type: ignore[import-not-found]
import _socket as socket
import gc
import os
import select
import struct
import sys
import time
from _functools import partial  # type: ignore[import-not-found]

sys.path.append(__file__.rsplit("/", 3)[0])  # last: nothing there hides a module of Python

from hodei_worker.supervisor.messages import (
    ANSWER,
    EMPTY,
    ENDED,
    FAILED,
    MAX_MESSAGE_BYTES,
    MOVED,
    OCCUPIED,
    SPAWNED,
    Request,
)
from hodei_worker.supervisor.program import Failed, enter_folder, execute

CHILD_ENDED = (signal.SIGCHLD,)
NAMES = "KILL STOP CHLD CONT SEGV BUS ILL FPE ABRT TRAP SYS"  # the latter seven are faults of ours
UNTOUCHED = {getattr(signal, f"SIG{name}") for name in NAMES.split()}

HOLD_S = 0.005
"""Seconds that a launcher waits for the end of a process before it reports the start. Most jobs of
a busy worker are shorter: one message then reports start and end, and the next job starts in the
same cgroup, without a move, which takes a lock that all forks of the host wait for."""

ANCILLARY_BYTES = socket.CMSG_SPACE(4 * struct.calcsize("i"))
"""Room for four descriptors. (socket.recv_fds ignores its flags: jobs would inherit them.)"""

RESET = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
BIRTH = {"setsid": True, "setsigmask": (), "setsigdef": RESET}
"""How a process is started. Of a signal that setsigdef does not name, glibc asks how it is handled
and then resets it, because main() catches it: that took 25 µs for each start."""


class Launcher:
    def __init__(self, link: socket.socket, ids: list[int]) -> None:
        self._link = link
        self._ids = ids  # uid, gid and groups of the job user; empty: jobs run as this process does
        self._own_umask = os.umask(0o22)
        self._cgroup = b""
        self._descriptors: list[int] = []  # of the cgroup's folder and its list of processes
        self._alone = b"%d\n" % os.getpid()  # the list of processes of a cgroup without a job
        self._occupied = False  # the cgroup has a process of a job, or may have
        self._jobs: dict[int, int] = {}  # pid → request number
        self._message = bytearray(MAX_MESSAGE_BYTES)  # reused, because a new one costs page faults

    def serve(self) -> None:
        """Returns when the supervisor is dead. SIGCHLD is blocked except while this
        process waits for it."""
        signal.pthread_sigmask(signal.SIG_BLOCK, CHILD_ENDED)
        wake, woken = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(woken, warn_on_full_buffer=False)
        poll = select.poll()
        poll.register(self._link, select.POLLIN)
        poll.register(wake, select.POLLIN)
        fast_path = None if self._ids else load_fast_path()
        read = partial(self._serve_fast, fast_path) if fast_path else self._read_request
        while True:
            if not self._jobs:
                if not read():
                    return
                continue
            signal.pthread_sigmask(signal.SIG_UNBLOCK, CHILD_ENDED)
            ready = poll.poll()
            signal.pthread_sigmask(signal.SIG_BLOCK, CHILD_ENDED)
            for descriptor, _ in ready:
                if descriptor == wake:
                    os.read(wake, 4096)
                    self._reap()
                elif not self._read_request():
                    return

    def _read_request(self) -> bool:
        flags = socket.MSG_CMSG_CLOEXEC
        size, ancillary, *_ = self._link.recvmsg_into([self._message], ANCILLARY_BYTES, flags)
        if size:
            self._work_on(size, b"".join(data for *_, data in ancillary))
        return size > 0

    def _serve_fast(self, fast_path) -> bool:  # type: ignore[no-untyped-def]
        """Lets the fast path serve requests for as long as it can."""
        place = self._cgroup, *(self._descriptors or (-1, -1))
        size, descriptors, number, pid, self._occupied = fast_path.serve(
            self._link.fileno(), self._message, place, self._occupied, self._own_umask, HOLD_S
        )
        if pid:
            self._jobs[pid] = number
            self._send_answer(SPAWNED, number, pid)
        elif size:
            self._work_on(size, descriptors)
        return bool(size)

    def _work_on(self, size: int, packed: bytes) -> None:
        descriptors = [one for (one,) in struct.iter_unpack("i", packed)]
        request, in_cgroup = Request(memoryview(self._message)[:size], descriptors), 0
        try:
            self._enter_cgroup(request.cgroup)
            in_cgroup = 1
            if request.moves_only:
                self._send_answer(MOVED, request.number, more=EMPTY)
            elif request.behind and self._occupied:
                self._send_answer(OCCUPIED, request.number)
            else:
                self._run_request(request)
        except (OSError, ValueError, Failed) as failed:
            words = str(failed).encode(errors="replace")[:2000]
            self._send_answer(FAILED, request.number, in_cgroup, more=words)
        finally:
            request.close()

    def _send_answer(self, kind: int, number: int, *values: int, more: bytes = b"") -> None:
        self._link.send(ANSWER.pack(kind, number, *values, *[0] * (5 - len(values))) + more)

    def _run_request(self, request: Request) -> None:
        """Starts the process. Reports its end if that comes within HOLD_S, else its start. Closes
        the streams before, so that whoever hears of the end finds the pipes at their end."""
        self._occupied = False  # else the request would be BEHIND
        pid = self._start(request)
        self._jobs[pid], self._occupied = request.number, True
        request.close()
        hold_until = time.monotonic() + HOLD_S
        while pid in self._jobs and (left_s := hold_until - time.monotonic()) > 0:
            if signal.sigtimedwait(CHILD_ENDED, left_s):
                self._reap(newborn=pid)
        if pid in self._jobs:
            self._send_answer(SPAWNED, request.number, pid)

    def _reap(self, newborn: int = 0) -> None:
        """Looks into the cgroup of `newborn`, whose start was not reported, and of no other job."""
        while self._jobs and (ended := os.wait4(-1, os.WNOHANG))[0]:
            pid, status, usage = ended
            if number := self._jobs.pop(pid, 0):
                if pid == newborn:
                    self._occupied = self._finds_others()
                more = EMPTY if pid == newborn and not self._occupied else b""
                times = int(usage.ru_utime * 1e6), int(usage.ru_stime * 1e6)
                self._send_answer(ENDED, number, pid, status, usage.ru_maxrss, *times, more=more)

    def _finds_others(self) -> bool:
        """Whether a process of a job is in this process's cgroup, or in one below it, or may be."""
        try:
            folder, processes = self._descriptors
            return os.pread(processes, 64, 0) != self._alone or os.fstat(folder).st_nlink > 2
        except (OSError, ValueError):  # it is gone; or there is none
            return True

    def _enter_cgroup(self, cgroup: bytes) -> None:
        """Moves this process ("0" names it), which takes some milliseconds where moves are rare."""
        if not cgroup or cgroup == self._cgroup:
            return
        opened = [os.open(cgroup, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)]
        try:
            opened.append(os.open("cgroup.procs", os.O_RDWR | os.O_CLOEXEC, dir_fd=opened[0]))
            os.write(opened[1], b"0")
            self._descriptors, opened = opened, self._descriptors
        finally:
            for descriptor in opened:  # the former ones, or those of a cgroup that is gone
                os.close(descriptor)
        self._cgroup, self._occupied = cgroup, False

    def _start(self, request: Request) -> int:
        os.umask(int(request.umask, 8) if request.umask else self._own_umask)
        if self._ids:
            return self._fork(request)
        try:
            enter_folder(request.folder)
            actions = [(os.POSIX_SPAWN_DUP2, stream, at) for at, stream in request.streams]
            return execute(request, partial(os.posix_spawn, file_actions=actions, **BIRTH))
        finally:
            os.chdir("/")

    def _fork(self, request: Request) -> int:
        """Returns the process id. Raises Failed with what the child says, if it has no program."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            self._run_child(request, writer)
        os.close(writer)
        with open(reader, "rb", 0) as pipe:  # noqa: PTH123
            words = pipe.read(4096)
        if words:
            os.waitpid(pid, 0)
            raise Failed(words.decode(errors="replace"))
        return pid

    def _run_child(self, request: Request, writer: int) -> None:
        """Runs in the child, and never returns."""
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.setsid()
            for at, stream in request.streams:
                os.dup2(stream, at)
            uid, gid, *groups = self._ids
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            enter_folder(request.folder)
            execute(request, os.execve)
        except BaseException as failed:  # noqa: BLE001  the child must not continue as a launcher
            os.write(writer, str(failed).encode(errors="replace")[:2000] or b"it failed")
        finally:
            os._exit(127)


def load_fast_path() -> object:
    """Returns the module, once it has served somebody who is gone. None: it could not be compiled,
    or what was is of another release or for another host."""
    try:
        from hodei_worker.supervisor import fast_path

        link, gone = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        gone.close()
        fast_path.serve(link.fileno(), bytearray(1), (b"", -1, -1), False, 0o22, HOLD_S)
        link.close()
    except ImportError:
        return None
    except Exception as error:  # noqa: BLE001  whatever it is: jobs start without it
        print(f"the fast path does not work here: {error}", file=sys.stderr, flush=True)
        return None
    return fast_path


def main() -> None:
    """Catches all signals that would end this process, so that a job's `kill $PPID` does nothing.
    (exec resets those that are caught, not those that are ignored.)"""
    for number in signal.valid_signals() - UNTOUCHED | {signal.SIGCHLD}:
        signal.signal(number, lambda *_: None)
    for number in UNTOUCHED - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        with open("/proc/self/oom_score_adj", "w") as score:  # noqa: PTH123
            score.write("500")  # the kernel kills a job before the worker when memory is short
    except OSError:
        pass
    gc.disable()  # nothing here makes cycles, but for errors, which are few
    link, *ids = map(int, sys.argv[1:])
    os.set_inheritable(link, False)
    Launcher(socket.socket(fileno=link), ids).serve()


if __name__ == "__main__":
    main()
