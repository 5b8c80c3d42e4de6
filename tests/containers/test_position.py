"""A log that is read again at any moment, by the same process or by another one, has every byte
once."""

import asyncio
import os
import random
from pathlib import Path

import pytest

from hodei_worker.containers.engine import Engine
from hodei_worker.containers.frames import Message
from hodei_worker.containers.log import Log
from hodei_worker.containers.position_file import RECORD, Place, PositionFile, Record
from hodei_worker.supervisor.guard import Guard
from hodei_worker.supervisor.spool import NOTICE, STDERR, STDOUT, Chunk, Spool

LEASE = 7


class Reader:
    """One process that reads a log; the messages come from a list."""

    def __init__(self, folder: Path, chunks: dict[int, Chunk]) -> None:
        """`chunks`: by number, as servers store them."""
        _, job_spools = Spool.recover(folder / "spool", [LEASE])
        self.job_spool = job_spools[LEASE]
        self._chunks = chunks
        engine, guard = Engine("/nowhere"), Guard(self._fail)
        self.log = Log(
            engine, self.job_spool, 0, folder / "p" / "7", guard, self._on_chunk, self._on_disk_full
        )
        self.keep_records()
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

    def keep_records(self) -> None:
        """Keeps each record that is written from now on."""
        self.records: list[Record] = []
        write = self.log.position._file.write

        def kept(record: Record) -> None:
            self.records.append(record)
            write(record)

        self.log.position._file.write = kept  # type: ignore[method-assign]

    def lose_last_record(self) -> None:
        """As if the process had died behind the spool and before the file of the position."""
        if len(self.records) > 1 and self.job_spool.acked <= self.records[-2].next_seq:
            self.log.position._file.write(self.records[-2])

    def read(self, messages: list[Message]) -> None:
        """As an engine sends them from a time on."""
        since = self.log.begin_again()
        for message in messages:
            if message.time >= since:
                self.log.gather(message)


def written(dice: random.Random) -> list[Message]:
    """Both streams in turn, now and then a little out of order; some messages have one time."""
    messages, now, at = [], 0, {STDOUT: 0, STDERR: 0}
    for _ in range(300):
        stream = dice.choice((STDOUT, STDOUT, STDERR))
        now += dice.choice((0, 0, 1, 50_000_000, 3_000_000_000))
        at[stream] = max(at[stream], now - dice.choice((0, 0, 900_000)))
        seconds, places = divmod(at[stream], 1_000_000_000)
        minutes, seconds = divmod(seconds, 60)
        time = b"2026-01-31T12:%02d:%02d.%09dZ" % (minutes, seconds, places)
        messages.append(Message(stream, time, dice.randbytes(dice.choice((1, 30, 3000, 16_384)))))
    return messages


async def read_with_breaks(dice: random.Random, folder: Path, acknowledge: bool) -> None:
    messages, chunks = written(dice), dict[int, Chunk]()
    reader = Reader(folder, chunks)
    reader.log.begin()
    for _ in range(12):
        reader.read(messages[: dice.randint(0, len(messages))])
        if acknowledge and reader.job_spool.next_seq:
            reader.job_spool.ack(dice.randint(0, reader.job_spool.next_seq))
        if dice.random() < 0.7:  # this process dies with what it has gathered
            if dice.random() < 0.5:
                reader.lose_last_record()
            reader = Reader(folder, chunks)
    reader.read(messages)
    reader.log.close()
    for stream in (STDOUT, STDERR):
        found = [chunks[seq] for seq in sorted(chunks) if chunks[seq].stream == stream]
        expected = b"".join(one.data for one in messages if one.stream == stream)
        assert b"".join(chunk.data for chunk in found) == expected
        assert [chunk.offset for chunk in found] == [
            sum(len(before.data) for before in found[:n]) for n in range(len(found))
        ]
        for chunk in found:
            assert chunk.line == 1 + expected[: chunk.offset].count(b"\n")
    assert not any(chunk.stream == NOTICE for chunk in chunks.values())
    assert sorted(chunks) == list(range(len(chunks)))


@pytest.mark.parametrize("acknowledge", [False, True])
@pytest.mark.parametrize("seed", range(20))
def test_every_byte_once(seed: int, acknowledge: bool, tmp_path: Path) -> None:
    asyncio.run(read_with_breaks(random.Random(seed), tmp_path, acknowledge))


async def read_after_a_loss(folder: Path) -> None:
    chunks = dict[int, Chunk]()
    reader = Reader(folder, chunks)
    reader.log.begin()
    messages = [
        Message(STDOUT, b"2026-01-31T12:00:%02d.000000000Z" % n, b"%d\n" % n) for n in range(9)
    ]
    reader.read(messages[:4])
    reader.log.begin_again()
    reader.read(messages[6:])
    reader.log.close()
    text = b"".join(chunks[seq].data for seq in sorted(chunks)).decode()
    assert text == (
        "0\n1\n2\n3\n[output is missing here: the Docker Engine no longer has it]\n6\n7\n8\n"
    )


def test_what_the_engine_has_lost_is_said(tmp_path: Path) -> None:
    asyncio.run(read_after_a_loss(tmp_path))


def test_the_record_of_the_release_before_is_read(tmp_path: Path) -> None:
    """It ends where `more` begins."""
    places = {STDOUT: Place(b"1" * 30, 2, 0), STDERR: Place(b"3" * 30, 4, 0)}
    record = Record(True, 9, [0, 1, 2, 3], [1] * 4, [False] * 4, 10, 11, 12, b"5" * 30, places)
    path = tmp_path / "p" / "7"
    file = PositionFile(path)
    assert file.read() is None
    file.write(record)
    assert file.read() == record
    os.truncate(path, RECORD.size - 16)
    assert file.read() == record
    file.close()
