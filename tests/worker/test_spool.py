"""Output on disk: numbered, with offsets and lines, gone when acknowledged."""

from pathlib import Path

import pytest

from hodei_worker.supervisor import spool as module
from hodei_worker.supervisor.spool import Spool


def test_chunks_know_their_place(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    for stream, data in ((1, b"a\nb"), (2, b"err\n"), (1, b"c\n")):
        spool.append(stream, data)
    chunks = [spool.read(seq) for seq in range(3)]
    assert [(c.seq, c.stream, c.offset, c.line, c.data) for c in chunks if c] == [
        (0, 1, 0, 1, b"a\nb"),
        (1, 2, 0, 1, b"err\n"),
        (2, 1, 3, 2, b"c\n"),
    ]
    assert spool.read(3) is None


def test_a_silent_job_costs_no_file_and_a_finished_one_leaves_none(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s")
    assert not (tmp_path / "s").exists()
    spool.append(1, b"x")
    assert len(list((tmp_path / "s").iterdir())) == 1
    spool.ack(1)
    spool.close()
    assert not (tmp_path / "s").exists()


def test_segments_go_as_they_are_acknowledged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SEGMENT_BYTES", 100)
    spool = Spool(tmp_path / "s")
    for number in range(10):
        spool.append(1, bytes([number]) * 60)
    assert len(list((tmp_path / "s").iterdir())) == 5
    spool.ack(7)
    assert spool.read(6) is None
    seventh = spool.read(7)
    assert seventh
    assert (seventh.data, seventh.offset) == (b"\7" * 60, 420)
    assert len(list((tmp_path / "s").iterdir())) == 2
    assert spool.unacked_bytes == 180


def test_it_is_full_at_its_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FULL_BYTES", 100)
    spool = Spool(tmp_path / "s")
    spool.append(1, b"x" * 100)
    assert spool.full
    spool.ack(1)
    assert not spool.full


def test_what_a_supervisor_that_died_has_left_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hodei_worker.supervisor.spool.SEGMENT_BYTES", 100)
    spool = Spool(tmp_path / "s")
    for n in range(10):
        spool.append(1 + n % 2, b"line %d\n" % n * 3)
    spool.ack(4)
    with (tmp_path / "s" / "5.log").open("ab") as file:  # the chunk that it was writing when it died
        file.write(b"\0" * 20)
    again = Spool.recover(tmp_path / "s")
    assert again.acked <= 4
    assert again.next_seq == 10
    again.ack(4)
    assert [again.read(seq) for seq in range(4, 10)] == [spool.read(seq) for seq in range(4, 10)]
    again.ack(10)
    again.close()
    assert not (tmp_path / "s").exists()
    assert Spool.recover(tmp_path / "nothing").next_seq == 0
