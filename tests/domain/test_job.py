"""States and transitions, and that schema.sql names the same ones."""

import re
from pathlib import Path

import pytest

from hodei.domain.job import FINAL, TRANSITIONS, JobState, Waiting, may_become
from hodei.domain.timing import GRACE_S
from hodei.domain.worker import WorkerState

TREE = Path(__file__).parents[2]
SCHEMA = (TREE / "schema.sql").read_text()


def words_of(table: str, column: str) -> set[str]:
    """What the CHECK of a column allows."""
    check = re.search(
        rf"CREATE TABLE IF NOT EXISTS {table} .*?CHECK \({column} IN \((.*?)\)\)", SCHEMA, re.DOTALL
    )
    assert check
    return set(re.findall(r"'([A-Z_]+)'", check[1]))


def test_what_has_ended_is_final() -> None:
    assert {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED} == FINAL


@pytest.mark.parametrize("old", JobState)
@pytest.mark.parametrize("new", JobState)
def test_a_change_is_legal_if_the_table_has_it(old: JobState, new: JobState) -> None:
    legal = {
        "PENDING": {"RUNNING", "FAILED", "CANCELLED"},
        "RUNNING": {"SUCCEEDED", "FAILED", "CANCELLED", "PENDING"},
    }
    assert may_become(old, new) == (new in legal.get(old, set()))


def test_every_state_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(JobState)


def test_schema_names_the_same_states() -> None:
    assert words_of("jobs", "state") == set(JobState)
    assert words_of("workers", "state") == set(WorkerState)
    assert words_of("job_queue", "waiting") == set(Waiting)


def test_the_worker_gives_the_same_grace() -> None:
    """It cannot import it: the sweep of limits counts on it."""
    files = (TREE / "hodei_worker").rglob("*.py")
    found = [
        g for file in files for g in re.findall(r"^GRACE_S = ([\d.]+)", file.read_text(), re.M)
    ]
    assert [float(g) for g in found] == [GRACE_S]
