"""The last part of a log over its limit: bounded, cut at lines, found again after a death."""

import random
import time
from pathlib import Path

import pytest

from hodei.protocol.words import Outcome
from hodei_worker.supervisor import spool as spools
from hodei_worker.supervisor.kept import Kept, smaller_limit, tail_of
from hodei_worker.supervisor.result import Result
from hodei_worker.supervisor.spool import NOTICE, Chunk, JobSpool, Spool


def kept(job_spool: JobSpool, limit: int) -> tuple[Kept, list[Chunk]]:
    chunks: list[Chunk] = []
    return Kept(job_spool, limit, chunks.append, lambda: None), chunks


def wrote(chunks: list[Chunk], stream: int = 1) -> bytes:
    return b"".join(chunk.data for chunk in chunks if chunk.stream == stream)


def lines(*numbers: int) -> bytes:
    return b"".join(b"line %06d\n" % n for n in numbers)


@pytest.mark.parametrize(
    ("limit", "tail"),
    [(1, 1), (60, 30), (1000, 500), (131_072, 65_536), (1 << 20, 104_857), (10**12, 64 << 20)],
)
def test_the_share_of_the_tail(limit: int, tail: int) -> None:
    assert tail_of(limit) == tail


def test_the_smaller_limit_holds() -> None:
    assert [smaller_limit(*two) for two in ((0, 0), (0, 5), (5, 0), (5, 3), (3, 5))] == [
        0,
        5,
        5,
        3,
        3,
    ]


def test_a_log_up_to_its_limit_is_whole(tmp_path: Path) -> None:
    keeper, chunks = kept(Spool(tmp_path).of_job(1), 1200)
    for n in range(100):
        keeper.store(1, lines(n))
    keeper.close()
    assert wrote(chunks) == lines(*range(100))
    assert wrote(chunks, NOTICE) == b""
    assert list(tmp_path.glob("*.tail?")) == []


@pytest.mark.parametrize("seed", range(20))
def test_offsets_lines_and_numbers_are_true_around_the_gap(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    limit = chance.choice([1, 7, 100, 5000, 200_000])
    job_spool = Spool(tmp_path).of_job(1)
    keeper, chunks = kept(job_spool, limit)
    whole = {1: b"", 2: b""}
    for _ in range(chance.choice([10, 200])):
        stream = chance.choice([1, 2])
        size = chance.choice([1, 30, 3000])
        data = bytes(chance.choice(b"abc\n") for _ in range(chance.randint(1, size)))
        whole[stream] += data
        keeper.store(stream, data)
    keeper.close()
    assert [chunk.seq for chunk in chunks] == list(range(len(chunks)))
    assert [job_spool.read(n) for n in range(len(chunks))] == chunks
    found = 0
    for chunk in chunks:
        assert 1 <= len(chunk.data) <= 65_536
        if chunk.stream != NOTICE:
            all_of_it = whole[chunk.stream]
            assert all_of_it[chunk.offset : chunk.offset + len(chunk.data)] == chunk.data
            assert chunk.line == 1 + all_of_it[: chunk.offset].count(b"\n")
            found += len(chunk.data)
    assert found == keeper.bytes <= limit
    missing = sum(map(len, whole.values())) - found
    said = f"[{missing} bytes left out]\n".encode() if missing else b""
    assert wrote(chunks, NOTICE) == said
    result = Result(Outcome.SUCCEEDED)
    keeper.add_to(result)
    assert result.log_dropped_bytes == missing


def test_both_parts_are_cut_at_lines(tmp_path: Path) -> None:
    keeper, chunks = kept(Spool(tmp_path).of_job(1), 1000)
    for n in range(0, 500, 5):
        keeper.store(1, lines(*range(n, n + 5)))
    keeper.close()
    first = wrote([c for c in chunks if c.seq < [d.stream for d in chunks].index(NOTICE)])
    assert first == lines(*range(41))
    assert wrote(chunks)[len(first) :] == lines(*range(459, 500))


def test_a_line_longer_than_the_limit_is_cut_between_characters(tmp_path: Path) -> None:
    keeper, chunks = kept(Spool(tmp_path).of_job(1), 101)
    keeper.store(1, "é".encode() * 1000)
    keeper.close()
    data = [chunk.data for chunk in chunks]
    assert data[0].decode() == "é" * 25
    assert len(data[-1]) == 51


def test_disk_and_memory_are_bounded(tmp_path: Path) -> None:
    keeper, _ = kept(Spool(tmp_path).of_job(1), 1 << 20)
    for n in range(5000):
        keeper.store(1, lines(*range(n * 100, n * 100 + 100)))
    sizes = [path.stat().st_size for path in tmp_path.glob("*.tail?")]
    assert 104_857 <= sum(sizes) < 4 * 104_857


def test_tiny_pieces_are_bounded_too(tmp_path: Path) -> None:
    keeper, _ = kept(Spool(tmp_path).of_job(1), 200_000)
    for _ in range(200_000):
        keeper.store(1, b"x")
    assert sum(path.stat().st_size for path in tmp_path.glob("*.tail?")) < 600_000


def test_what_a_supervisor_that_died_has_left_of_a_tail_follows_the_first_part(
    tmp_path: Path,
) -> None:
    job_spool = Spool(tmp_path / "s").of_job(7)
    keeper, chunks = kept(job_spool, 1000)
    for n in range(500):
        keeper.store(1, lines(n))
    with next((tmp_path / "s").glob("*.tail?")).open("ab") as file:
        file.write(b"half a rec")
    (tmp_path / "s" / "99.tail0").write_bytes(b"of a job that was forgotten")
    before = len(chunks)
    _, job_spools = Spool.recover(tmp_path / "s", [7])
    again = [chunk for n in range(job_spools[7].next_seq) if (chunk := job_spools[7].read(n))]
    assert again[:before] == chunks
    assert again[before].stream == NOTICE
    last = wrote(again[before + 1 :])
    assert last.startswith(b"line ")
    assert last.endswith(lines(499))
    assert again[before].data == b"[%d bytes left out]\n" % (500 * 12 - len(wrote(again)))
    assert list((tmp_path / "s").glob("*.tail?")) == []


def test_a_tail_whose_first_part_was_acknowledged_goes_on_with_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spools, "SEGMENT_BYTES", 100)
    spool = Spool(tmp_path)
    job_spool, other = spool.of_job(1), spool.of_job(2)
    keeper, _ = kept(job_spool, 1000)
    for n in range(200):
        keeper.store(1, lines(n))
    numbered = job_spool.next_seq
    for _ in range(2):
        other.append(1, b"x" * 200)
    job_spool.ack(numbered)
    other.ack(1)
    _, job_spools = Spool.recover(tmp_path, [1])
    assert job_spools[1].acked == numbered
    notice = job_spools[1].read(numbered)
    assert notice
    assert notice.stream == NOTICE


def test_a_segment_that_went_between_others_leaves_no_wrong_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another job holds the segment of the first chunk; that of the second is gone."""
    monkeypatch.setattr(spools, "SEGMENT_BYTES", 150)
    spool = Spool(tmp_path)
    job_spool, other = spool.of_job(1), spool.of_job(2)
    job_spool.append(1, b"a" * 20)
    other.append(1, b"o" * 20)
    for data in (b"b" * 200, b"c" * 200, b"d" * 200):
        job_spool.append(1, data)
    job_spool.ack(3)
    _, job_spools = Spool.recover(tmp_path, [1, 2])
    chunk = job_spools[1].read(3)
    assert chunk
    assert chunk.data == b"d" * 200
    assert job_spools[1].acked == 3


def test_the_end_of_a_job_does_not_wait_for_its_tail(tmp_path: Path) -> None:
    """The loop of all jobs does this: the data is read once."""
    job_spool = Spool(tmp_path).of_job(1)
    keeper, chunks = kept(job_spool, 640 << 20)
    keeper.bytes = 600 << 20  # as if the first part were there
    data = lines(*range(5000))
    for _ in range(2400):
        keeper.store(1, data)
    began = time.process_time()
    keeper.close()
    assert time.process_time() - began < 2
    assert sum(len(chunk.data) for chunk in chunks) > 63 << 20
