"""`python -I -S launcher.py SOCKET [UID GID GROUP…]`: starts the jobs' processes for the
supervisor, is their parent, and reports their ends.

It is a process of its own, with one thread, because the kernel moves whole processes into a cgroup:
it enters the attempt's cgroup before it spawns, so that the job is born there and cannot escape.
With a job user it forks, and the child gives up its rights before it enters the job's folder,
searches its program or takes its environment: no code with more rights than the job's touches them.

It imports little, and of three modules only the part in C: each fork copies their page tables."""

import _signal as signal  # type: ignore[import-not-found]
import _socket as socket
import errno
import gc
import os
import select
import struct
import sys
import time
from _functools import partial  # type: ignore[import-not-found]

REQUEST = struct.Struct("<BQHH")
"""Kind, request number, number of words in the argument list, number of words in the environment
(names and values). Then follow, each ended by NUL: the cgroup ("": none), the working folder, the
search path, the arguments, the environment, the umask (octal; "" or absent: the launcher's)."""

SPAWN, MOVE, LARGE, BEHIND = 1, 2, 4, 8
"""LARGE is added to the kind if the rest of the request is in a file; its descriptor is the last.
BEHIND is added if the request was sent behind another one that uses the same cgroup."""

ANSWER = struct.Struct("<BQiiQQQ")
"""Kind, request number, then by kind: SPAWNED the process id; ENDED process id, wait status, peak
memory in KiB, user and system time in µs, then EMPTY if its cgroup is known to be empty; FAILED 1
if the program and 0 if the cgroup was the cause, then the reason as text; MOVED, EMPTY (a release
that does not know BEHIND does not send it); OCCUPIED nothing: it was BEHIND a job that goes on, or
has left processes. ENDED without a SPAWNED before it reports the start as well."""

SPAWNED, ENDED, FAILED, MOVED, OCCUPIED = 1, 2, 3, 4, 5
EMPTY = b"\1"

CHILD_ENDED = (signal.SIGCHLD,)
NAMES = "KILL STOP CHLD CONT SEGV BUS ILL FPE ABRT TRAP SYS"  # the latter seven are faults of ours
UNTOUCHED = {getattr(signal, f"SIG{name}") for name in NAMES.split()}

MAX_MESSAGE_BYTES = 200_000
"""Bytes of a message at most; the size of the buffer. The supervisor's own limit is lower."""

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


class Failed(Exception):
    """The message tells the job's owner why its process could not be started."""


class Request:
    def __init__(self, message: memoryview, descriptors: list[int]) -> None:
        kind, self.number, arguments, environment = REQUEST.unpack_from(message)
        rest = bytes(message[REQUEST.size :])
        if kind & LARGE:
            with open(descriptors.pop(), "rb") as file:  # noqa: PTH123
                rest = file.read()
        self.moves_only, self.behind = bool(kind & MOVE), bool(kind & BEHIND)
        self.cgroup, self.folder, self.path, *words = rest.split(b"\0")[:-1]
        self.argv = words[:arguments]
        pairs = words[arguments : arguments + environment]
        self.environment = dict(zip(pairs[::2], pairs[1::2], strict=True))
        self.umask = b"".join(words[arguments + environment :])
        # (0, stdin), (1, stdout), (2, stderr); without the first stdin is the launcher's, /dev/null
        self.streams = list(enumerate(descriptors, 3 - len(descriptors)))

    def close(self) -> None:
        while self.streams:
            stream = self.streams.pop()[1]
            os.closerange(stream, stream + 1)  # which ignores errors: its job may run already


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
        while True:
            if not self._jobs:
                if not self._read_request():
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
        if not size:
            return False
        descriptors = [fd for *_, data in ancillary for (fd,) in struct.iter_unpack("i", data)]
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
        return True

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


def enter_folder(folder: bytes) -> None:
    try:
        os.chdir(folder)
    except OSError as error:
        absent = error.errno in (errno.ENOENT, errno.ENOTDIR)
        why = "no such folder on this worker" if absent else error.strerror
        raise Failed(f"workdir {os.fsdecode(folder)}: {why}") from None


def execute(request: Request, run) -> int:  # type: ignore[no-untyped-def]
    """Searches and runs the program as execvp(3) does. Raises Failed."""
    name = os.fsdecode(request.argv[0])
    program = request.argv[0] if b"/" in request.argv[0] else find_program(request)
    try:
        try:
            return run(program, request.argv, request.environment)  # type: ignore[no-any-return]
        except OSError as error:
            if error.errno != errno.ENOEXEC or first_bytes(program).startswith(b"\x7fELF"):
                raise
            argv = [b"/bin/sh", program, *request.argv[1:]]
            return run(argv[0], argv, request.environment)  # type: ignore[no-any-return]
    except FileNotFoundError:
        why = why_not_found(program) if os.path.exists(program) else "no such file"  # noqa: PTH110
    except PermissionError:
        why = "not executable"
    except OSError as error:
        why = error.strerror or str(error)
    raise Failed(f"{name}: {why}")


def find_program(request: Request) -> bytes:
    argument = request.argv[0]
    for folder in request.path.split(b":"):
        candidate = (folder or b".") + b"/" + argument
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate):  # noqa: PTH113
            return candidate
    where = os.fsdecode(request.path)
    raise Failed(f"{os.fsdecode(argument)}: command not found in PATH ({where})")


def first_bytes(program: bytes) -> bytes:
    try:
        with open(program, "rb") as file:  # noqa: PTH123
            return file.read(256)
    except OSError:
        return b""


def why_not_found(program: bytes) -> str:
    """Says what is missing where the kernel does not find a file that exists."""
    first = first_bytes(program).partition(b"\n")[0]
    if not first.startswith(b"#!"):
        return "no such file, or its loader is missing"
    interpreter = os.fsdecode(first[2:].strip(b" \t").partition(b" ")[0])
    if interpreter.endswith("\r"):
        return f"bad interpreter {interpreter[:-1]!r}: its lines end as on Windows (CR LF)"
    return f"bad interpreter {interpreter!r}: no such file"


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
