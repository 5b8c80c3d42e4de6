"""Masking through the real programs, while they are killed: random values, written to both streams
in turn, in any pieces."""

import base64
import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest

from hodei_worker.supervisor.masking import Masked, Masks
from tests.eventually import eventually
from tests.running import Hodei, start
from tests.worker_process import Worker, supervisors

WRITER = """
import os, sys, time
values = {name: os.environ[name].encode() for name in ("A", "B")}
for stream, pieces in %r:
    for what, begin, end in pieces:
        data = values[what][begin:end] if what in values else what.encode()
        os.write(stream, data)
    if %r:
        time.sleep(0.01)
"""


def value(dice: random.Random) -> str:
    kind = dice.randrange(4)
    if kind == 0:
        return "".join(dice.choices("ab", k=dice.randint(8, 60)))
    if kind == 1:
        return dice.choice("xyz") * dice.randint(8, 5000)
    if kind == 2:
        lines = (base64.b64encode(dice.randbytes(48)).decode() for _ in range(20))
        return "-----BEGIN KEY-----\n" + "\n".join(lines) + "\n-----END KEY-----\n"
    return "".join(dice.choices('aZ09"\\ñ/+&% \n', k=dice.randint(8, 300)))


Piece = tuple[str, int, int]


def writes(
    dice: random.Random, values: dict[str, str], count: int
) -> list[tuple[int, list[Piece]]]:
    """What a job writes: to a stream, pieces of values, all of them in the end, or other words."""
    found: list[tuple[int, list[Piece]]] = []
    for _ in range(count):
        name = dice.choice("AB")
        size = len(values[name].encode())
        cuts = sorted(dice.choices(range(size + 1), k=dice.randint(0, 4)))
        whole: list[Piece] = [(name, b, e) for b, e in pairwise([0, *cuts, size])]
        other: list[Piece] = [(dice.choice(("a line\n", "x", "ab", "<", ">\n")), 0, 0)]
        partly = whole[: dice.randint(0, len(whole))]
        found.append((dice.choice((1, 1, 2)), dice.choice((whole, whole, partly, other)) + other))
    return found


def expected(values: dict[str, str], written: list[tuple[int, list[Piece]]], stream: int) -> bytes:
    raw = b""
    for to, pieces in written:
        for what, begin, end in pieces:
            if to == stream:
                raw += values[what].encode()[begin:end] if what in values else what.encode()
    one = Masked(Masks(values.values()))
    return b"".join(piece.out for piece in (*one.feed(raw), *one.end()))


class System:
    def __init__(self, hodei: Hodei, worker: Worker) -> None:
        self.hodei, self.worker = hodei, worker

    def submit(self, dice: random.Random, count: int, *, slow: bool) -> "Case":
        values = {name: value(dice) for name in "AB"}
        names = {name: f"{name}-{dice.getrandbits(60)}" for name in values}
        for name, text in values.items():
            path = self.hodei.folder / names[name]
            path.write_text(text, newline="")
            self.hodei.ok("secret", "set", names[name], "--file", str(path))
            path.unlink()
        written = writes(dice, values, count)
        job = self.worker.submit(
            script=WRITER % (written, slow),
            interpreter=["python3", "-S"],
            env={name: {"secret": secret} for name, secret in names.items()},
        )
        return Case(job, values, written)


CHUNKS = """
SELECT lease, stream, data FROM job_logs WHERE job_id = %s AND stream < 3 ORDER BY lease, seq
"""


class Case:
    def __init__(
        self, job: str, values: dict[str, str], written: list[tuple[int, list[Piece]]]
    ) -> None:
        self.job, self.values = job, values
        self.expected = {stream: expected(values, written, stream) for stream in (1, 2)}

    def check(self, hodei: Hodei) -> None:
        """The log of each attempt is a beginning of the masked output, of the last one all of it. (A
        supervisor that was killed has given nothing out that it held back.)"""
        found: dict[tuple[int, int], bytes] = {}
        for lease, stream, data in hodei.sql(CHUNKS, self.job):
            found[lease, stream] = found.get((lease, stream), b"") + data
        last = max((lease for lease, _ in found), default=0)
        for (lease, stream), log in found.items():
            assert self.expected[stream].startswith(log), (lease, stream)
        assert {stream: found.get((last, stream), b"") for stream in (1, 2)} == self.expected


@pytest.fixture
def system(pg_server: SimpleNamespace, tmp_path: Path) -> Iterator[System]:
    key = tmp_path / "key"
    key.write_bytes(os.urandom(32))
    hodei = start(pg_server, tmp_path, servers=0)
    flags = ("--secret-key-file", str(key))
    hodei.addresses.append(hodei.stack.server("server-0", hodei.url, 0, *flags))
    worker = Worker(hodei, "secret", tmp_path / "w")
    worker.up(hodei.token())
    yield System(hodei, worker)
    worker.stop()
    hodei.stack.stop()
    hodei.conn.close()


def test_any_values_in_any_pieces(system: System) -> None:
    dice = random.Random(int(os.environ.get("HODEI_FUZZ_SEED", "7")))
    cases = [system.submit(dice, 60, slow=False) for _ in range(25)]
    for case in cases:
        assert system.worker.ended(case.job).state == "SUCCEEDED"
        case.check(system.hodei)


LET_RUN = "UPDATE job_queue SET waiting = NULL, ready_at = NULL WHERE waiting = 'BACKOFF'"
"""What was lost runs again at once."""

GOES_ON = """
SELECT EXISTS (SELECT FROM jobs WHERE state = 'RUNNING')
    OR NOT EXISTS (SELECT FROM jobs WHERE completed_at IS NULL)
"""


def kill_agent(worker: Worker) -> None:
    assert worker.process
    worker.process.send_signal(signal.SIGKILL)
    worker.process.wait()
    worker.up()


def kill_supervisors(worker: Worker) -> None:
    for pid in supervisors(worker.state):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def test_agent_and_supervisor_are_killed_each_second(system: System) -> None:
    """The agent's death costs nothing; the supervisor's costs the attempt. No value is in what they
    have left, in the database or on the disk."""
    dice = random.Random(int(os.environ.get("HODEI_FUZZ_SEED", "8")))
    cases = [system.submit(dice, 300, slow=True) for _ in range(4)]
    hodei, worker = system.hodei, system.worker
    for kill in (kill_agent, kill_agent, kill_supervisors, kill_agent) * 2:
        hodei.sql(LET_RUN)
        eventually(lambda: hodei.sql(GOES_ON) == [(True,)], 60)
        time.sleep(1.0)
        kill(worker)
    eventually(lambda: hodei.sql(LET_RUN) or hodei.sql(GOES_ON) == [(True,)])
    for case in cases:
        assert worker.ended(case.job).state == "SUCCEEDED"
        case.check(hodei)
    files = b"".join(p.read_bytes() for p in worker.state.rglob("*") if p.is_file())
    lines = [line for case in cases for text in case.values.values() for line in text.split("\n")]
    unique = [line for line in lines if len(line) == 64 and len(set(line)) > 9]
    assert unique, "lines of keys, which nothing else writes"
    assert not any(line.encode() in files for line in unique)
