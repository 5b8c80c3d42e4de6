"""States and transitions, and that schema.sql names the same ones."""

import re
from pathlib import Path

from hodei.domain.job import FINAL, TRANSITIONS, JobState
from hodei.domain.worker import WorkerState

SCHEMA = (Path(__file__).parents[2] / "schema.sql").read_text()


def states_of(table: str) -> set[str]:
    check = re.search(
        rf"CREATE TABLE IF NOT EXISTS {table} .*?CHECK \(state IN \((.*?)\)\)", SCHEMA, re.DOTALL
    )
    assert check
    return set(re.findall(r"'([A-Z]+)'", check[1]))


def test_final_is_final() -> None:
    assert all(not TRANSITIONS[state] for state in FINAL)


def test_every_state_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(JobState)


def test_schema_names_the_same_states() -> None:
    assert states_of("jobs") == set(JobState)
    assert states_of("workers") == set(WorkerState)
