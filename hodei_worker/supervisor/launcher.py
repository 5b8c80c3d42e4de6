"""`python -I -S launcher.py SOCKET [UID GID GROUP…]`: starts jobs' processes for the supervisor, is
their parent and tells their ends.

A process of its own, and single-threaded, because a move into a cgroup takes a whole process: it
sits in the attempt's cgroup before it spawns, so that the job is born there and nothing can escape
by being quick. With a job user it forks, and the child drops its rights before it enters the job's
folder, looks for its program or takes its environment: nothing of the job reaches code that has
more rights than the job.

Only built-in parts of the standard library are imported, and of signal and socket only what is
written in C: the rest of them is a third of a launcher's memory, and each fork copies its tables.
"""

import _signal as signal  # type: ignore[import-not-found]
import _socket as socket
import errno
import gc
import os
import select
import struct
import sys
import time

REQUEST = struct.Struct("<BQHH")
"""Kind, number, words of the argument list, words of the environment (names and values). Behind it,
each ended by NUL: the cgroup ("" for none), the working folder, the search path, then those
words."""

SPAWN, MOVE, LARGE = 1, 2, 4
"""LARGE is added where the rest of a request is in a file, whose descriptor is the last."""

ANSWER = struct.Struct("<BQiiQQQ")
"""Kind, number, then by kind: SPAWNED the process id; ENDED the process id, the wait status, the peak
memory in KiB, user and system time in µs; FAILED 1 where it was the program and not the cgroup, and
words up to the end of the message. ENDED without a SPAWNED before it tells both."""

SPAWNED, ENDED, FAILED, MOVED = 1, 2, 3, 4

UNTOUCHED = {
    signal.SIGKILL,
    signal.SIGSTOP,
    signal.SIGCHLD,
    signal.SIGCONT,
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGILL,
    signal.SIGFPE,
    signal.SIGABRT,
    signal.SIGTRAP,
    signal.SIGSYS,
}

MAX_MESSAGE_BYTES = 200_000
"""Bytes of a message; the kernel's socket buffers hold more."""

HOLD_S = 0.005
"""A launcher waits so long for the end of what it has started before it tells of the start. Most jobs
of a busy worker are shorter, and then one message tells both: each message wakes a process, which
costs more than all else that is done for a short job. It is also where the next job can be started
without a move: a move takes a lock that all forks of the host wait for."""


ANCILLARY_BYTES = socket.CMSG_SPACE(4 * struct.calcsize("i"))
"""Four descriptors at most. (socket.recv_fds forgets its flags: a job would inherit them.)"""


class Failed(Exception):
    """Why the job's process could not be started, for its owner."""


CHILD_ENDED = (signal.SIGCHLD,)


class Request:
    def __init__(self, message: memoryview, descriptors: list[int]) -> None:
        kind, self.number, arguments, environment = REQUEST.unpack_from(message)
        rest = bytes(message[REQUEST.size :])
        if kind & LARGE:
            with open(descriptors.pop(), "rb") as file:  # noqa: PTH123
                rest = file.read()
        self.moves_only = bool(kind & MOVE)
        self.cgroup, self.folder, path, *words = rest.split(b"\0")[:-1]
        self.path = path
        self.argv = words[:arguments]
        pairs = words[arguments : arguments + environment]
        self.environment = dict(zip(pairs[::2], pairs[1::2], strict=True))
        self.streams = descriptors


class Launcher:
    def __init__(self, link: socket.socket, ids: list[int]) -> None:
        self._link = link
        self._ids = ids  # uid, gid and groups of the job user; empty: jobs run as we do
        self._cgroup = b""
        self._cgroups: dict[bytes, int] = {}  # descriptors; as many as the supervisor has cgroups
        self._jobs: dict[int, int] = {}  # pid → number
        self._message = bytearray(MAX_MESSAGE_BYTES)  # used again: a fresh one costs page faults

    def serve(self) -> None:
        """Until the supervisor is gone. SIGCHLD is blocked but where it is waited for."""
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
        size, ancillary, _, _ = self._link.recvmsg_into(
            [self._message], ANCILLARY_BYTES, socket.MSG_CMSG_CLOEXEC
        )
        if not size:
            return False
        descriptors: list[int] = []
        for _, _, data in ancillary:
            descriptors += struct.unpack(f"{len(data) // 4}i", data)
        request, in_cgroup = Request(memoryview(self._message)[:size], descriptors), 0
        try:
            self._enter_cgroup(request.cgroup)
            in_cgroup = 1
            if request.moves_only:
                self._send_answer(MOVED, request.number)
            else:
                self._run_request(request)
        except (OSError, ValueError, Failed) as failed:
            words = str(failed).encode(errors="replace")[:2000]
            self._link.send(ANSWER.pack(FAILED, request.number, in_cgroup, 0, 0, 0, 0) + words)
        finally:
            for descriptor in request.streams:
                os.close(descriptor)
        return True

    def _send_answer(self, kind: int, number: int, *reader: int) -> None:
        self._link.send(ANSWER.pack(kind, number, *reader, *([0] * (5 - len(reader)))))

    def _run_request(self, request: Request) -> None:
        """Tells of the start, or of the end where that comes within HOLD_S."""
        pid = self._start(request)
        self._jobs[pid] = request.number
        hold_until = time.monotonic() + HOLD_S
        while (left_s := hold_until - time.monotonic()) > 0:
            if signal.sigtimedwait(CHILD_ENDED, left_s):
                self._reap()
                if pid not in self._jobs:
                    return
        self._send_answer(SPAWNED, request.number, pid)

    def _reap(self) -> None:
        while self._jobs:
            pid, status, usage = os.wait4(-1, os.WNOHANG)
            if not pid:
                return
            if number := self._jobs.pop(pid, 0):
                times = int(usage.ru_utime * 1e6), int(usage.ru_stime * 1e6)
                self._send_answer(ENDED, number, pid, status, usage.ru_maxrss, *times)

    def _enter_cgroup(self, cgroup: bytes) -> None:
        """Of ourselves, by "0": a move is quick where moves are frequent, and takes some ms where
        not."""
        if not cgroup or cgroup == self._cgroup:
            return
        if (file := self._cgroups.get(cgroup)) is None:
            file = os.open(cgroup + b"/cgroup.procs", os.O_WRONLY | os.O_CLOEXEC)
            self._cgroups[cgroup] = file
        os.write(file, b"0")
        self._cgroup = cgroup

    # ── a process ──

    def _start(self, request: Request) -> int:
        if self._ids:
            return self._fork(request)
        try:
            enter_folder(request.folder)
            return execute(request, self._spawn)
        finally:
            os.chdir("/")

    def _spawn(self, program: bytes, argv: list[bytes], request: Request) -> int:
        streams = [(os.POSIX_SPAWN_DUP2, stream, at) for at, stream in enumerate(request.streams)]
        environment = request.environment
        return os.posix_spawn(
            program, argv, environment, file_actions=streams, setsid=True, setsigmask=()
        )

    def _fork(self, request: Request) -> int:
        """The child writes why it failed; its end of the pipe is closed when it becomes its
        program."""
        reader, writer = os.pipe2(os.O_CLOEXEC)
        pid = os.fork()
        if pid == 0:
            self._run_child(request, writer)
        os.close(writer)
        try:
            words = os.read(reader, 4096)
        finally:
            os.close(reader)
        if words:
            os.waitpid(pid, 0)
            raise Failed(words.decode(errors="replace"))
        return pid

    def _run_child(self, request: Request, writer: int) -> None:
        """In the child; never returns."""
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, ())
            os.setsid()
            for at, stream in enumerate(request.streams):
                os.dup2(stream, at)
            uid, gid, *groups = self._ids
            os.setgroups(groups)
            os.setresgid(gid, gid, gid)
            os.setresuid(uid, uid, uid)
            enter_folder(request.folder)
            execute(request, exec_program)
        except BaseException as failed:  # noqa: BLE001  this must not go on as a launcher
            os.write(writer, str(failed).encode(errors="replace")[:2000] or b"it failed")
        finally:
            os._exit(127)


def exec_program(program: bytes, argv: list[bytes], request: Request) -> None:
    os.execve(program, argv, request.environment)  # noqa: S606


def enter_folder(folder: bytes) -> None:
    try:
        os.chdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        raise Failed(f"workdir {os.fsdecode(folder)}: no such folder on this worker") from None
    except OSError as error:
        raise Failed(f"workdir {os.fsdecode(folder)}: {error.strerror}") from None


def execute(request: Request, run) -> int:  # type: ignore[no-untyped-def]
    """As execvp(3): through the search path, and by /bin/sh what the kernel does not know as a
    program."""
    name = os.fsdecode(request.argv[0])
    program = request.argv[0] if b"/" in request.argv[0] else find_program(request)
    try:
        try:
            return run(program, request.argv, request)  # type: ignore[no-any-return]
        except OSError as error:
            if error.errno != errno.ENOEXEC or first_bytes(program).startswith(b"\x7fELF"):
                raise
            argv = [b"/bin/sh", program, *request.argv[1:]]
            return run(argv[0], argv, request)  # type: ignore[no-any-return]
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
    name = os.fsdecode(argument)
    raise Failed(f"{name}: command not found in PATH ({os.fsdecode(request.path)})")


def first_bytes(program: bytes) -> bytes:
    try:
        with open(program, "rb") as file:  # noqa: PTH123
            return file.read(256)
    except OSError:
        return b""


def why_not_found(program: bytes) -> str:
    """The file is there, so what its first line names is not."""
    first = first_bytes(program).partition(b"\n")[0]
    if not first.startswith(b"#!"):
        return "no such file, or its loader is missing"
    interpreter = os.fsdecode(first[2:].strip(b" \t").partition(b" ")[0])
    if interpreter.endswith("\r"):
        return f"bad interpreter {interpreter[:-1]!r}: its lines end as on Windows (CR LF)"
    return f"bad interpreter {interpreter!r}: no such file"


def main() -> None:
    """Signals that would end us are caught, so that a job's `kill $PPID` does nothing here and its
    children, as exec resets what is caught, have all signals as a login gives them."""
    for number in signal.valid_signals() - UNTOUCHED:
        signal.signal(number, lambda *_: None)
    for number in UNTOUCHED - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    try:
        with open("/proc/self/oom_score_adj", "w") as score:  # noqa: PTH123
            score.write("500")  # when memory is short the kernel is to take a job, not the worker
    except OSError:
        pass
    gc.disable()  # nothing here makes cycles, but for errors, which are few
    descriptor, *ids = map(int, sys.argv[1:])
    os.set_inheritable(descriptor, False)
    Launcher(socket.socket(fileno=descriptor), ids).serve()


if __name__ == "__main__":
    main()
