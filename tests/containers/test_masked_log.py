"""The masked log of a container that is read again at any moment, by the same process or by another
one: what is kept is what the whole output is masked to, once."""

import asyncio
import random
from pathlib import Path

import pytest

from hodei_worker.containers.engine import Engine
from hodei_worker.containers.frames import Message
from hodei_worker.containers.log import Log
from hodei_worker.supervisor import gathered
from hodei_worker.supervisor.guard import Guard
from hodei_worker.supervisor.masking import Masked, Masks
from hodei_worker.supervisor.secrets import Values
from hodei_worker.supervisor.spool import NOTICE, STDERR, STDOUT, Chunk, Spool

LEASE = 7
VALUES = Values(a="abcabcabcabc", b="bcabcabd", c="x" * 40, d="first line\nsecond line")


class Reader:
    """One process that reads a log; the messages come from a list."""

    def __init__(self, folder: Path, chunks: dict[int, Chunk], *, adopts: bool) -> None:
        """`chunks`: by number, as servers store them. `adopts`: the values come later."""
        _, job_spools = Spool.recover(folder / "spool", [LEASE])
        self.job_spool = job_spools[LEASE]
        self._chunks = chunks
        guard, path = Guard(self._fail), folder / "p" / "7"
        values = Values() if adopts else VALUES
        calls = (self._on_chunk, self._on_disk_full)
        self.log = Log(Engine("/nowhere"), self.job_spool, 0, path, guard, *calls, values)
        self.log.give_secrets(VALUES)
        for seq in range(self.job_spool.acked, self.job_spool.next_seq):
            if chunk := self.job_spool.read(seq):
                self._on_chunk(chunk)

    def _on_chunk(self, chunk: Chunk) -> None:
        before = self._chunks.setdefault(chunk.seq, chunk)
        assert (before.stream, before.data) == (chunk.stream, chunk.data)

    def _fail(self, error: Exception) -> None:
        raise error

    def _on_disk_full(self) -> None:
        raise AssertionError

    def read(self, messages: list[Message]) -> None:
        """As an engine sends them from a time on."""
        since = self.log.begin_again()
        for message in messages:
            if message.time >= since:
                self.log.gather(message)


def written(dice: random.Random) -> list[Message]:
    """Values, parts of them and other text, cut anywhere; some messages have one time."""
    words = [*VALUES.values(), "abcabc", "abcabcabcab", "x" * 39, "first lin", "-", "\n", "y" * 300]
    messages, now, at = [], 0, {STDOUT: 0, STDERR: 0}
    for stream in (STDOUT, STDERR):
        text = "".join(dice.choices(words, k=200)).encode()
        while text:
            size = dice.choice((1, 5, 30, 200, 900))
            now += dice.choice((0, 0, 1, 50_000_000, 2_000_000_000))
            at[stream] = max(at[stream], now)
            minutes, seconds = divmod(at[stream] // 1_000_000_000, 60)
            time = b"2026-01-31T%02d:%02d:%02d.%09dZ" % (
                *divmod(minutes, 60),
                seconds,
                at[stream] % 1_000_000_000,
            )
            messages.append(Message(stream, time, text[:size]))
            text = text[size:]
        now = 0
    return sorted(messages, key=lambda message: message.time)


async def read_with_breaks(dice: random.Random, folder: Path) -> None:
    messages, chunks = written(dice), dict[int, Chunk]()
    reader = Reader(folder, chunks, adopts=False)
    reader.log.begin()
    for _ in range(12):
        reader.read(messages[: dice.randint(0, len(messages))])
        if dice.random() < 0.3:
            reader.log.notice("a notice")
        if reader.job_spool.next_seq and dice.random() < 0.5:
            reader.job_spool.ack(dice.randint(0, reader.job_spool.next_seq))
        if dice.random() < 0.7:  # this process dies with what it has gathered and held back
            reader = Reader(folder, chunks, adopts=True)
    reader.read(messages)
    reader.log.close()
    for stream in (STDOUT, STDERR):
        found = [chunks[seq] for seq in sorted(chunks) if chunks[seq].stream == stream]
        raw = b"".join(one.data for one in messages if one.stream == stream)
        one = Masked(Masks(VALUES.values()))
        expected = b"".join(piece.out for piece in (*one.feed(raw), *one.end()))
        assert b"".join(chunk.data for chunk in found) == expected
        for number, chunk in enumerate(found):
            assert chunk.offset == sum(len(before.data) for before in found[:number])
            assert chunk.line == 1 + expected[: chunk.offset].count(b"\n")
    assert {c.data for c in chunks.values() if c.stream == NOTICE} <= {b"[a notice]\n"}
    assert sorted(chunks) == list(range(len(chunks)))


@pytest.mark.parametrize("chunk_bytes", [7, 1000, 65_536])
@pytest.mark.parametrize("seed", range(12))
def test_what_is_kept_is_the_masked_output_once(
    seed: int, chunk_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Chunks of few bytes end inside of masks."""
    monkeypatch.setattr(gathered, "CHUNK_BYTES", chunk_bytes)
    asyncio.run(read_with_breaks(random.Random(seed), tmp_path))
