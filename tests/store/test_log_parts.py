"""Parts of a log are found by their lines from its end, by attempt and by time, whatever chunks the
lines lie in."""

import asyncio
import random
import uuid
from collections import defaultdict
from contextlib import aclosing
from typing import Any, cast

import pytest

from hodei.access.principal import Principal
from hodei.access.roles import Role
from hodei.domain.errors import Invalid, NotFound
from hodei.flow.log_place import Place, Start, WantedLog, parse_cursor
from hodei.flow.log_reader import LogReader
from hodei.flow.waits import Waits
from hodei.flow.watch import Watch
from hodei.store import log_lines
from hodei.store.database import Database
from tests.conftest import Connection
from tests.eventually import eventually

BEGUN_US = 1_790_000_000_000_000

INSERT = """
INSERT INTO job_logs (job_id, lease, seq, attempt, stream, byte_offset, first_line, read_at, data)
VALUES (%s, %s, %s, %s, %s, %s, %s, timestamptz 'epoch' + %s * interval '1 microsecond', %s)
"""


class Written:
    """A job's log in the table, and the same bytes by attempt and stream."""

    def __init__(self, db: Connection) -> None:
        self.id = uuid.uuid4()
        self._db = db
        self.streams: dict[tuple[int, int], bytes] = defaultdict(bytes)
        self.chunks: list[tuple[int, int, bytes]] = []
        db.execute(
            "INSERT INTO jobs (id, name, spec, correlation_id, actor, attempts) "
            "VALUES (%s, 'j', '{\"command\": \"true\"}', 'c', 'a', 1)",
            [self.id],
        )

    def write(self, attempt: int, stream: int, data: bytes) -> None:
        before = self.streams[attempt, stream]
        seq = sum(a == attempt for a, _, _ in self.chunks)
        at = BEGUN_US + len(self.chunks) * 1_000_000
        row = (self.id, attempt, seq, attempt, stream, len(before), 1 + before.count(b"\n"), at)
        self._db.execute(INSERT, [*row, data])
        self.streams[attempt, stream] += data
        self.chunks.append((attempt, stream, data))
        self._db.execute("UPDATE jobs SET attempts = %s WHERE id = %s", [attempt, self.id])

    def last_lines(self, stream: int, lines: int, attempt: int = 0) -> bytes:
        parts = [
            line
            for (a, s), data in sorted(self.streams.items())
            if s == stream and attempt in (0, a)
            for line in data.splitlines(keepends=True)
        ]
        return b"".join(parts[len(parts) - lines :] if lines < len(parts) else parts)


ANYBODY = Principal("cli:ana", Role.VIEWER, None)


def read(url: str, job_id: uuid.UUID, wanted: WantedLog, *, one_by_one: bool = False) -> Any:
    """The chunks of a part, read at once or with each page asked for by the cursor of the last."""

    async def pages() -> list[Any]:
        async with Database(url) as database:
            reader = LogReader(database, Watch(database, ends_only=False), Waits(database))
            if not one_by_one:
                return [
                    c
                    for p in [p async for p in reader.read(job_id, wanted, ANYBODY)]
                    for c in p.chunks
                ]
            chunks, asked = [], wanted
            while True:
                async with aclosing(cast(Any, reader.read(job_id, asked, ANYBODY))) as pages:
                    page = await anext(pages)
                chunks += page.chunks
                if page.cursor == asked.cursor:
                    return chunks
                asked = wanted._replace(cursor=page.cursor)

    return asyncio.run(pages())


def of_stream(chunks: list[Any], stream: int) -> bytes:
    return b"".join(chunk.data for chunk in chunks if chunk.stream == stream)


@pytest.fixture
def written(db: Connection) -> Written:
    return Written(db)


@pytest.mark.parametrize("seed", range(6))
def test_the_last_lines_of_each_stream(
    written: Written, database_url: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_lines, "PAGE", 4)
    monkeypatch.setattr("hodei.flow.log_reader.LARGEST_PAGE", 16)
    monkeypatch.setattr("hodei.flow.log_reader.SMALLEST_PAGE", 16)
    chance = random.Random(seed)
    pieces = [b"a\n", b"bb", b"\n", b"c\nd\ne", b"\\x\n\0\xff", b"f\n\n\ng"]
    for attempt in (1, 2, 3):
        for _ in range(chance.randrange(1, 15)):
            stream = chance.choice([1, 1, 2]) if seed % 2 else 1
            written.write(attempt, stream, chance.choice(pieces))
    for lines in (0, 1, 2, 3, 7, 1000):
        for attempt in (0, 2):
            wanted = WantedLog(last_lines=lines, attempt=attempt)
            for one_by_one in (False, True):
                chunks = read(database_url, written.id, wanted, one_by_one=one_by_one)
                for stream in (1, 2):
                    expected = written.last_lines(stream, lines, attempt)
                    assert of_stream(chunks, stream) == expected, (lines, attempt, one_by_one)
                    for chunk in chunks:
                        whole = written.streams[chunk.attempt, chunk.stream]
                        begun = whole[: chunk.byte_offset]
                        assert whole[len(begun) :].startswith(chunk.data)
                        assert chunk.first_line == 1 + begun.count(b"\n")


def test_a_stream_is_not_looked_for_in_all_of_a_log(
    written: Written, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_lines, "PAGE", 4)
    monkeypatch.setattr("hodei.flow.last_lines.MOST_PAGES", 2)
    written.write(1, 2, b"long ago\n")
    for n in range(6):
        written.write(1, 1, b"%d\n" % n)
    assert of_stream(read(database_url, written.id, WantedLog(last_lines=1)), 2) == b"long ago\n"
    for n in range(6, 20):
        written.write(1, 1, b"%d\n" % n)
    chunks = read(database_url, written.id, WantedLog(last_lines=10))
    assert (of_stream(chunks, 1), of_stream(chunks, 2)) == (
        b"12\n13\n14\n15\n16\n17\n18\n19\n",
        b"",
    )


def test_a_line_of_many_chunks_is_whole(written: Written, database_url: str) -> None:
    written.write(1, 1, b"first\n")
    for _ in range(30):
        written.write(1, 1, b"x" * 65_536)
    written.write(1, 1, b"end\n")
    chunks = read(database_url, written.id, WantedLog(last_lines=1))
    assert of_stream(chunks, 1) == b"x" * 30 * 65_536 + b"end\n"


def test_the_last_lines_of_a_large_log_are_found_without_its_data(
    written: Written, database_url: str, db: Connection
) -> None:
    """20 MB of which stderr has nothing. Data outside of the rows is read of a few chunks."""
    db.execute("ALTER TABLE job_logs ALTER data SET STORAGE EXTERNAL")
    db.execute(
        "INSERT INTO job_logs (job_id, lease, seq, attempt, stream, byte_offset, first_line, "
        "read_at, data) SELECT %s, 1, n, 1, 1, n * 65536, 1 + n * 1024, now(), "
        "convert_to(repeat(repeat('y', 63) || chr(10), 1024), 'UTF8') "
        "FROM generate_series(0, 319) n",
        [written.id],
    )
    db.execute("UPDATE jobs SET attempts = 1 WHERE id = %s", [written.id])
    before = toast_blocks(db)
    chunks = read(database_url, written.id, WantedLog(last_lines=10))
    assert of_stream(chunks, 1) == (b"y" * 63 + b"\n") * 10
    of_the_tail = eventually(lambda: toast_blocks(db) - before)  # told when the reader has left
    assert len(of_stream(read(database_url, written.id, WantedLog()), 1)) == 320 << 16
    eventually(lambda: toast_blocks(db) - before > 30 * of_the_tail)


def toast_blocks(db: Connection) -> int:
    """Blocks that were read of the data outside of log rows."""
    db.execute("SELECT pg_stat_clear_snapshot()")
    ((blocks,),) = db.execute(
        "SELECT sum(toast_blks_read + toast_blks_hit)::bigint FROM pg_statio_user_tables "
        "WHERE relname ^@ 'job_logs'"
    ).fetchall()
    return int(blocks)


def test_what_was_read_since_a_time(written: Written, database_url: str) -> None:
    for n in range(5):
        written.write(1, 1, b"%d\n" % n)
    since = WantedLog(since=BEGUN_US + 3_000_000)
    assert of_stream(read(database_url, written.id, since), 1) == b"3\n4\n"
    both = since._replace(last_lines=1)
    assert of_stream(read(database_url, written.id, both), 1) == b"4\n"
    late = WantedLog(since=1 << 52)
    assert read(database_url, written.id, late) == []


def test_an_attempt_that_is_not_there_is_named_with_those_that_are(
    written: Written, database_url: str
) -> None:
    written.write(1, 1, b"1")
    written.write(2, 1, b"2")
    assert of_stream(read(database_url, written.id, WantedLog(attempt=2)), 1) == b"2"
    with pytest.raises(NotFound, match=r"no attempt 3 of job .*: it has the attempts 1 to 2"):
        read(database_url, written.id, WantedLog(attempt=3))
    with pytest.raises(Invalid, match="tail_lines: expected at most 1000000, got 1000001"):
        read(database_url, written.id, WantedLog(last_lines=1_000_001))


def test_a_log_by_hand_is_read(written: Written, database_url: str, db: Connection) -> None:
    """Lines that are no numbers of lines, a chunk without data, a time beyond the calendar."""
    for seq, (line, at, data) in enumerate(
        [(-5, "infinity", b"a\nb\n"), (1 << 62, "-infinity", b""), (0, "now", b"c\n")]
    ):
        db.execute(
            "INSERT INTO job_logs (job_id, lease, seq, attempt, stream, byte_offset, first_line, "
            "read_at, data) VALUES (%s, 1, %s, 1, 1, 0, %s, %s, %s)",
            [written.id, seq, line, at, data],
        )
    db.execute("UPDATE jobs SET attempts = 1 WHERE id = %s", [written.id])
    for lines in (0, 1, 100):
        read(database_url, written.id, WantedLog(last_lines=lines))


@pytest.mark.parametrize(
    "cursor", ["x", "1", "1.2.3", "1.x", "-2.0", "1.2:3", "1.2:1.2.3.x", "9" * 600, "1.2:", "."]
)
def test_a_cursor_of_others_is_refused(cursor: str) -> None:
    with pytest.raises(Invalid, match="cursor: expected the cursor of an earlier answer"):
        parse_cursor(cursor)


def test_a_cursor_says_the_place_again() -> None:
    place = Place(7, 3, {2: Start(8, 1, 5)})
    assert parse_cursor(place.cursor) == place
    assert parse_cursor("7.3") == Place(7, 3)
