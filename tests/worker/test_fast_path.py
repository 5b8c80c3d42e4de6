"""The fast path of a launcher: it is there where it can be compiled, it serves what it is for, it
gives back what it is not for, and nobody can tell it from the launcher's own way, in Python."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hodei_worker.supervisor.launcher import HOLD_S
from hodei_worker.supervisor.messages import BEHIND, ENDED, FAILED, LARGE, MOVE, SPAWN, SPAWNED
from tests.hosts import CAN_COMPILE
from tests.worker.talking import (
    PATH,
    SHELL,
    SUPERVISOR,
    Talk,
    needs_fast_path,
    talking,
    without_fast_path,
)

LOOKS_AROUND = """
printf '[%s]' "$@"; pwd; umask; ulimit -c; env | sort
cat /proc/self/status | grep -E '^(Sig|Shd)...:|^(Umask|Seccomp|NoNewPrivs):'
ls /proc/self/fd | tr '\\n' ' '; echo '(the last is its own)'
cut -d ' ' -f 5-7 /proc/$$/stat | sed "s/$$/itself/g"
md5sum
"""
GLIBCS_OWN = b"SigIgn:\t0000000180000000"
"""posix_spawn(3) ignores two signals that glibc uses itself, and forgets to undo it."""


def files(folder: Path) -> None:
    for name, text, mode in (
        ("plain", "echo plain $*\n", 0o755),
        ("usual", "#!/bin/sh\necho usual $*\n", 0o755),
        ("windows", "#!/bin/sh\r\n", 0o755),
        ("lost", "#!/no/such/interpreter\n", 0o755),
        ("unable", "#!/bin/sh\n", 0o644),
        ("cut", "\x7fELF", 0o755),
        ("empty", "", 0o755),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(mode)
    (folder / "folder").mkdir()
    (folder / "again").symlink_to("again")


def shell(command: str, *arguments: str, **more: Any) -> dict[str, Any]:
    return {"argv": [*SHELL, command, *arguments], **more}


MANY_VARIABLES = {"PATH": PATH, **{f"V{n}": "x" for n in range(5000)}}
ODD_VARIABLES = {"A": "1", "B": "", "C": "=", "PATH": PATH, "Z": "\udcfe"}

REQUESTS: dict[str, Callable[[str], dict[str, Any]]] = {
    "all that it is given": lambda _: shell(
        LOOKS_AROUND,
        *("zero", "", "é\n", "\udcff"),
        environment=ODD_VARIABLES,
        folder="/usr",
        umask="027",
        stdin=b"to be read\n" * 1000,
    ),
    "no stdin, and the launcher's umask": lambda _: shell(LOOKS_AROUND),
    "an exit code": lambda _: shell("exit 255"),
    "a signal": lambda _: shell("kill -9 $$"),
    "a stop, and its end": lambda _: shell("(sleep .1; kill -9 $$) & kill -STOP $$"),
    "it goes on": lambda _: shell(f"sleep {20 * HOLD_S}; echo late; exit 3"),
    "a command of PATH": lambda at: {"argv": ["usual", "x"], "path": f"/none::{at}/again:{at}:/b"},
    "one that says no interpreter": lambda at: {"argv": ["plain", "x"], "path": at},
    "none of PATH": lambda _: {"argv": ["plain"], "path": "/none:/bin:"},
    "one of PATH is not executable": lambda at: {"argv": ["unable"], "path": f"/proc:{at}:/bin"},
    "an empty PATH": lambda at: {"argv": ["plain"], "path": "", "folder": at},
    "a folder of that name": lambda at: {"argv": ["folder"], "path": f"{at}:/usr"},
    "PATH of 20,000 bytes": lambda at: {"argv": ["plain"], "path": f"/{'x' * 20_000}:{at}"},
    "of the working folder": lambda at: {"argv": ["./plain"], "folder": at},
    "an empty name": lambda _: {"argv": [""]},
    "a long name": lambda _: {"argv": ["x" * 10_000]},
    "a line that ends as on Windows": lambda at: {"argv": [f"{at}/windows"]},
    "no interpreter": lambda at: {"argv": [f"{at}/lost"]},
    "not executable": lambda at: {"argv": [f"{at}/unable"]},
    "a folder": lambda at: {"argv": [f"{at}/folder"]},
    "a cut program": lambda at: {"argv": [f"{at}/cut"]},
    "an empty program": lambda at: {"argv": [f"{at}/empty"]},
    "a loop of links": lambda at: {"argv": [f"{at}/again"]},
    "no program": lambda at: {"argv": [f"{at}/none"]},
    "no folder": lambda at: {"argv": ["true"], "folder": f"{at}/none"},
    "a file for a folder": lambda at: {"argv": ["true"], "folder": f"{at}/plain"},
    "5,000 arguments": lambda _: shell('echo "$#"', *["x"] * 5000),
    "5,000 variables": lambda _: shell("env | wc -l", environment=MANY_VARIABLES),
    "an argument of 120,000 bytes": lambda _: shell('echo "$1"', "-", "x" * 120_000),
    "an argument of 150,000 bytes": lambda _: {"argv": ["echo", "x" * 150_000]},
    "in a file": lambda _: {"argv": ["echo", "y" * 100_000], "kind": SPAWN | LARGE},
    "behind nothing": lambda _: {"argv": ["true"], "kind": SPAWN | BEHIND},
    "a move": lambda _: {"argv": [], "kind": MOVE},
    "no cgroup": lambda at: {"argv": ["true"], "cgroup": f"{at}/none"},
    "a umask without rights": lambda _: shell("umask", umask="0777"),
}


def ask(launcher: Talk, kind: int = SPAWN, stdin: bytes | None = None, **asked: Any) -> bytes:
    """Returns what the job writes, once its streams are closed."""
    reader, writer = os.pipe()
    with tempfile.TemporaryFile() as file:
        streams = [writer, writer]
        if stdin is not None:
            file.write(stdin)
            file.seek(0)
            streams.insert(0, file.fileno())
        launcher.ask(kind, streams=streams, **asked)
        os.close(writer)
    with open(reader, "rb") as written:  # noqa: PTH123
        return written.read().replace(GLIBCS_OWN, b"SigIgn:\t0000000000000000")


def answers(launcher: Talk) -> Iterator[tuple[int, int, int, bytes]]:
    """Kind, request number, status and what follows of all answers to one request."""
    while True:
        kind, number, (pid, status, peak_kib, *_), more = launcher.whole_answer()
        assert kind != ENDED or (pid > 0 and peak_kib > 0)
        yield kind, number, status, more
        if kind != SPAWNED:
            return


@needs_fast_path
def test_nobody_can_tell_one_way_from_the_other(tmp_path: Path) -> None:
    """A launcher of each kind gets the same requests, and then once more, backwards."""
    folder = tmp_path / "files"
    folder.mkdir()
    files(folder)
    found = []
    for supervisor in (SUPERVISOR, without_fast_path(tmp_path / "in-python")):
        with talking(supervisor) as launcher:
            for name in (*REQUESTS, *reversed(REQUESTS)):
                written = ask(launcher, **REQUESTS[name](str(folder)))
                found.append((name, written, *answers(launcher)))
    half = len(found) // 2
    for fast, slow in zip(found[:half], found[half:], strict=True):
        assert fast == slow, fast[0]
    kinds = {name: answer[0] for name, _, *_, answer in found}
    assert {name for name in kinds if kinds[name] == FAILED} >= {"no program", "no folder"}
    (looked,) = {written for name, written, *_ in found if name == "all that it is given"}
    assert b"SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n" in looked
    assert b"\n0 1 2 3 (the last is its own)\nitself itself 0\n" in looked


SERVES = f"""
import signal, sys
sys.path.append({str(SUPERVISOR.parents[1])!r})
from hodei_worker.supervisor import fast_path
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])
link, cgroup, hold_s = int(sys.argv[1]), sys.argv[2].encode(), float(sys.argv[3])
while True:
    found = fast_path.serve(link, bytearray(200_000), (cgroup, -1, -1), False, 0o22, hold_s)
    size, descriptors, number, pid, occupied = found
    print(bool(size), len(descriptors) // 4, number if pid else 0, occupied, flush=True)
    if not size:
        break
"""
"""Prints what the fast path gives back."""


@contextmanager
def serving(cgroup: str = "", hold_s: float = 30.0) -> Iterator[tuple[Talk, Callable[[], str]]]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    number = theirs.fileno()
    command = [sys.executable, "-ISc", SERVES, str(number), cgroup, str(hold_s)]
    with subprocess.Popen(command, pass_fds=[number], stdout=subprocess.PIPE, text=True) as ran:
        theirs.close()
        assert ran.stdout
        lines = iter(ran.stdout)
        try:
            yield Talk(ours, ran.pid), lambda: next(lines).strip()
        finally:
            ours.close()
        assert next(lines).startswith("False 0 "), "its supervisor is dead"


SERVED = {
    *("all that it is given", "no stdin, and the launcher's umask", "an exit code", "a signal"),
    *("a stop, and its end", "it goes on", "a command of PATH"),
    *("an argument of 120,000 bytes", "behind nothing", "a umask without rights"),
}


@needs_fast_path
@pytest.mark.parametrize("name", REQUESTS)
def test_it_serves_what_it_is_for_and_gives_back_the_rest(name: str, tmp_path: Path) -> None:
    files(tmp_path)
    with serving() as (launcher, given_back):
        asked = REQUESTS[name](str(tmp_path))
        if name in SERVED:
            ask(launcher, **asked)
            kind, number, (pid, *_), _ = launcher.whole_answer()
            assert (kind, number, pid > 0) == (ENDED, 1, True)
        else:
            launcher.ask(**({"kind": SPAWN} | asked))
            descriptors = {MOVE: 0, SPAWN | LARGE: 3}.get(asked.get("kind", SPAWN), 2)
            assert given_back() == f"True {descriptors} 0 False"


@needs_fast_path
def test_a_job_that_goes_on_is_given_back(tmp_path: Path) -> None:
    with serving(hold_s=0.001) as (launcher, given_back):
        launcher.ask(SPAWN, "sleep 0.2")
        assert given_back() == "True 0 1 True"


@needs_fast_path
def test_what_is_behind_a_job_that_left_processes_is_given_back() -> None:
    """Here it knows no cgroup, so each may have left some."""
    with serving() as (launcher, given_back):
        launcher.ask(SPAWN, "true")
        launcher.ask(SPAWN | BEHIND, "true")
        assert launcher.answer() == (ENDED, 1, b"")
        assert given_back() == "True 2 0 True"


@needs_fast_path
def test_a_job_of_another_cgroup_is_given_back() -> None:
    with serving("/its/own") as (launcher, given_back):
        launcher.ask(SPAWN, "true", "/its/own")
        assert launcher.answer() == (ENDED, 1, b"")
        launcher.ask(SPAWN, "true", "/other")
        assert given_back() == "True 2 0 True"


def test_signals_disturb_no_request(supervisor: Path) -> None:
    """A launcher catches all that it can: a job may send them to its parent."""
    stop = threading.Event()

    def disturb(pid: int) -> None:
        while not stop.is_set():
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGCHLD):
                os.kill(pid, number)
            time.sleep(0.0005)

    with talking(supervisor) as launcher:
        launcher.ask(SPAWN, "true")
        assert launcher.answer()[0] == ENDED, "it catches signals by now"
        disturbing = threading.Thread(target=disturb, args=(launcher.pid,))
        disturbing.start()
        try:
            for _ in range(50):
                number = launcher.ask(SPAWN, "exit 3")
                kind, told, (_, status, *_), _ = launcher.whole_answer()
                assert (kind, told, status) == (ENDED, number, 3 << 8)
        finally:
            stop.set()
            disturbing.join()


def test_launchers_do_without_one_that_does_not_load(tmp_path: Path) -> None:
    """As where it was compiled for another C library."""
    folder = without_fast_path(tmp_path)
    (folder / "fast_path.abi3.so").write_bytes(b"\x7fELF")
    with talking(folder) as launcher:
        number = launcher.ask(SPAWN, "true")
        assert launcher.answer() == (ENDED, number, b"")


@pytest.mark.parametrize(
    "module", ["def serve(link): ...", "", "def serve(*_): raise SystemError", "serve = 1 / 0"]
)
def test_launchers_do_without_one_of_another_release(tmp_path: Path, module: str) -> None:
    """As where it was left in a tree, or compiled by a Python whose calls are not these."""
    folder = without_fast_path(tmp_path)
    (folder / "fast_path.py").write_text(module)
    with talking(folder) as launcher:
        number = launcher.ask(SPAWN, "true")
        assert launcher.answer() == (ENDED, number, b"")


@pytest.mark.skipif(not CAN_COMPILE, reason="no C compiler, or no headers of Python")
def test_it_is_compiled_where_it_can_be() -> None:
    from hodei_worker.supervisor import fast_path

    assert callable(fast_path.serve)
