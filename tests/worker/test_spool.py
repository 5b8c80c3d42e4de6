"""Output on disk: numbered, with offsets and lines, gone when acknowledged."""

from pathlib import Path

import pytest

from hodei_worker.supervisor import spool as module
from hodei_worker.supervisor.spool import Spool


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_chunks_know_their_place(tmp_path: Path) -> None:
    job_spool = Spool(tmp_path / "s").of_job(1)
    for stream, data in ((1, b"a\nb"), (2, b"err\n"), (1, b"c\n")):
        job_spool.append(stream, data)
    chunks = [job_spool.read(seq) for seq in range(3)]
    assert [(c.seq, c.stream, c.offset, c.line, c.data) for c in chunks if c] == [
        (0, 1, 0, 1, b"a\nb"),
        (1, 2, 0, 1, b"err\n"),
        (2, 1, 3, 2, b"c\n"),
    ]
    assert job_spool.read(3) is None


def test_what_was_appended_is_what_is_read(tmp_path: Path) -> None:
    job_spool = Spool(tmp_path / "s").of_job(1)
    assert job_spool.append(2, b"x" * 70_000) == job_spool.read(0)


def test_silent_jobs_cost_no_file_and_many_share_one(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    job_spools = [spool.of_job(lease) for lease in range(10)]
    assert not (tmp_path / "s").exists()
    for job_spool in job_spools:
        job_spool.append(1, b"x")
    assert files(tmp_path / "s") == ["1.log"]
    spool.close()
    assert not (tmp_path / "s").exists()


def test_a_segment_goes_when_all_in_it_is_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 100)
    spool = Spool(tmp_path / "s")
    job_spool, other = spool.of_job(1), spool.of_job(2)
    for number in range(10):
        (other if number == 3 else job_spool).append(1, bytes([number]) * 60)
    assert len(files(tmp_path / "s")) == 10
    job_spool.ack(7)
    assert job_spool.read(6) is None
    eighth = job_spool.read(7)
    assert eighth
    assert (eighth.data, eighth.offset) == (b"\x08" * 60, 420)
    assert files(tmp_path / "s") == ["10.log", "4.log", "9.log"], (
        "the fourth holds what is not acknowledged of the other job"
    )
    assert job_spool.unacked_bytes == 120
    other.close()
    job_spool.close()
    assert files(tmp_path / "s") == ["10.log"], "the newest is still written to"


def test_a_job_spool_is_full_at_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FULL_BYTES", 100)
    job_spool = Spool(tmp_path / "s").of_job(1)
    job_spool.append(1, b"x" * 100)
    assert job_spool.full
    job_spool.ack(1)
    assert not job_spool.full


def test_what_a_supervisor_that_died_has_left_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 300)
    spool = Spool(tmp_path / "s")
    job_spool, other, forgotten = spool.of_job(1), spool.of_job(2), spool.of_job(3)
    for n in range(10):
        job_spool.append(1 + n % 2, b"line %d\n" % n * 3)
        other.append(1, b"%d" % n)
        forgotten.append(1, b"%d" % n)
    job_spool.ack(4)
    newest = max((tmp_path / "s").iterdir(), key=lambda path: int(path.stem))
    with newest.open("ab") as file:  # the chunk that it was writing when it died
        file.write(b"\0" * 20)
    again, job_spools = Spool.recover(tmp_path / "s", [1, 2])
    assert job_spools[1].acked <= 4
    assert (job_spools[1].next_seq, job_spools[2].next_seq) == (10, 10)
    job_spools[1].ack(4)
    assert [job_spools[1].read(seq) for seq in range(4, 10)] == [
        job_spool.read(seq) for seq in range(4, 10)
    ]
    assert [job_spools[2].read(seq) for seq in range(10)] == [other.read(seq) for seq in range(10)]
    again.of_job(9).append(1, b"new")
    for one in job_spools.values():
        one.close()
    assert len(files(tmp_path / "s")) == 1, "only the new one"


def test_nothing_left_is_nothing_read(tmp_path: Path) -> None:
    assert Spool.recover(tmp_path / "nothing", [1])[1][1].next_seq == 0
