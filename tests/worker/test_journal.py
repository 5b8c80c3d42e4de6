"""What a supervisor that died finds in its journal."""

from pathlib import Path
from typing import Any

import pytest

from hodei_worker.supervisor import journal
from hodei_worker.supervisor.journal import Journal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal"


def start(lease: int) -> dict[str, Any]:
    return {"lease": lease, "job_id": f"job-{lease}", "attempt": 1, "cgroup": None}


def found(path: Path) -> dict[int, dict[str, Any]]:
    """As the next supervisor does, beside the one that died."""
    return Journal(path).entries


def test_it_finds_what_was_flushed_and_nothing_else(path: Path) -> None:
    died = Journal(path)
    died.add_start(start(1) | {"spec": {"env": {"SECRET": "x"}}})
    died.add_start(start(2))
    died.add_result(2, {"outcome": "SUCCEEDED"})
    died.add_processes(1, {40: 7, 30: 5})
    assert found(path) == {}, "lines gather until flush"
    died.flush()
    died.add_start(start(3))
    assert found(path) == {
        1: start(1) | {"seen": [[30, 5], [40, 7]]},
        2: start(2) | {"result": {"outcome": "SUCCEEDED"}},
    }
    assert b"SECRET" not in path.read_bytes(), "only what an adopted job needs is kept"


@pytest.mark.parametrize("order", ["start first", "end first"])
def test_what_was_acknowledged_is_forgotten(path: Path, order: str) -> None:
    died = Journal(path)
    if order == "start first":
        died.add_start(start(1))
    died.add_result(1, {"outcome": "FAILED"})
    died.flush()
    assert found(path)[1]["result"] == {"outcome": "FAILED"}
    died.add_forgotten(1)
    died.flush()
    assert found(path) == {}


LINES = (
    b'{"lease":1,"job_id":"job-1"}\n{"lease":2,"job_id":"job-2"}\n{"lease":1,"result":{"code":0}}\n'
)


def test_half_a_line_costs_that_line_only(path: Path) -> None:
    """A kill may come at any byte."""
    ends = [n for n in range(len(LINES)) if LINES[n : n + 1] == b"\n"]
    for cut in range(len(LINES) + 1):
        path.write_bytes(LINES[:cut])
        whole = sum(end <= cut for end in ends)
        entries = found(path)
        assert len(entries) == min(2, whole), cut
        assert ("result" in entries.get(1, {})) == (whole == 3), cut


def test_after_half_a_line_the_next_supervisor_goes_on(path: Path) -> None:
    path.write_bytes(LINES[:-10])
    Journal(path).close()
    again = Journal(path)
    again.add_start(start(7))
    again.flush()
    assert set(found(path)) == {1, 2, 7}


@pytest.mark.parametrize("odd", [b"\n", b"\xff\xfe\n", b"\x00\x00\x00\n", b"{\n"])
def test_a_line_that_is_no_entry_is_passed_over(path: Path, odd: bytes) -> None:
    path.write_bytes(odd + LINES)
    assert set(found(path)) == {1, 2}


def test_words_about_a_lease_that_is_not_known(path: Path) -> None:
    """Its start went with a full disk: what it saw is of no use, how it ended is."""
    died = Journal(path)
    died.add_processes(1, {30: 5})
    died.add_forgotten(2)
    died.add_result(3, {"outcome": "SUCCEEDED"})
    died.flush()
    assert found(path) == {3: {"lease": 3, "job_id": "", "result": {"outcome": "SUCCEEDED"}}}


def test_history_is_left_out_when_there_is_much_of_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "COMPACT_AFTER", 1000)
    died = Journal(path)
    died.add_start(start(1))
    lengths = []
    for lease in range(2, 2000):
        died.add_start(start(lease))
        died.add_result(lease, {"outcome": "SUCCEEDED"})
        died.add_forgotten(lease)
        died.flush()
        lengths.append(len(path.read_bytes().splitlines()))
    assert max(lengths) <= journal.COMPACT_AFTER + 10
    assert min(lengths[1000:]) < 10, "it was written anew"
    assert found(path) == {1: start(1)}
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["journal"]
    died.add_start(start(5000))
    died.flush()
    assert set(found(path)) == {1, 5000}, "it goes on in the new file"


def test_live_entries_are_no_history(path: Path) -> None:
    """Else each flush of a supervisor with many jobs would write all of them anew."""
    died = Journal(path)
    file = path.stat().st_ino
    for lease in range(2 * journal.COMPACT_AFTER):
        died.add_start(start(lease))
    died.flush()
    assert path.stat().st_ino == file
    assert len(found(path)) == 2 * journal.COMPACT_AFTER


@pytest.mark.parametrize("live", [True, False])
def test_at_the_end_an_empty_journal_goes(path: Path, live: bool) -> None:
    ended = Journal(path)
    ended.add_start(start(1))
    if not live:
        ended.add_forgotten(1)
    ended.close()
    assert path.exists() == live
    assert set(found(path)) == ({1} if live else set())
