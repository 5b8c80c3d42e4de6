"""What many statements of the store have in common is the same in each of them, and is what the
domain and the docs say."""

import dataclasses
import importlib
import re
from collections.abc import Iterator
from typing import Any

import pytest

from hodei.domain.job import FINAL, JobState, Outcome, Reason, Waiting, may_become
from hodei.domain.worker import CONNECTED, WorkerState
from hodei.store import job_logs, jobs, log_cursors, results, sessions
from tests.conftest import SCHEMA, TREE


def statements() -> Iterator[tuple[str, str]]:
    """Every SQL text of the store by its name, and the functions of schema.sql that write jobs."""
    for path in sorted((TREE / "hodei/store").glob("*.py")):
        module = importlib.import_module(f"hodei.store.{path.stem}")
        for name, value in vars(module).items():
            if name.isupper() and isinstance(value, str) and re.search(r"\bFROM\b|\bSET\b", value):
                yield f"{path.stem}.{name}", value
    for name in ("hodei_create_jobs", "hodei_make_days"):
        _, _, text = SCHEMA.read_text().partition(f"CREATE OR REPLACE FUNCTION {name}")
        yield name, text.partition("\nEND $$")[0]


STATEMENTS = dict(statements())

GONE = {WorkerState.TERMINATED, WorkerState.REGISTERING}
"""States of workers without a stream."""


def test_all_of_them_are_found() -> None:
    assert {"results.RESULT", "accepts.ACCEPT", "claims.CLAIM", "jobs.GET"} < STATEMENTS.keys()
    assert len(STATEMENTS) > 60


@pytest.mark.parametrize("name", STATEMENTS)
def test_each_change_that_it_writes_is_legal(name: str) -> None:
    pairs = re.findall(r"'old_state', '(\w+)',\s*'new_state', '(\w+)'", STATEMENTS[name])
    assert all(may_become(JobState(old), JobState(new)) for old, new in pairs), pairs


@pytest.mark.parametrize("name", STATEMENTS)
def test_each_state_and_reason_that_it_writes_is_one_of_ours(name: str) -> None:
    text = STATEMENTS[name]
    states = re.findall(r"\bj?\.?state (?:=|<>) '(\w+)'", text)
    assert set(states) <= {*JobState, *WorkerState}
    assert set(re.findall(r"'?reason'?(?: =|,) '([A-Z_]+)'", text)) <= set(Reason)
    assert set(re.findall(r"outcome (?:=|<>) '([A-Z_]+)'", text)) <= set(Outcome)
    assert set(re.findall(r"'(RUN_\w+|BACK\w+)'", text)) <= set(Waiting)
    for group in re.findall(r"state IN \(([^)]*)\)", text):
        words = set(re.findall(r"'(\w+)'", group))
        assert words == set(FINAL) or CONNECTED <= words <= {*WorkerState} or words <= GONE, words


@pytest.mark.parametrize("name", STATEMENTS)
def test_whether_a_row_waits_and_until_when_is_decided_by_one_time(name: str) -> None:
    """Where the clock is read for each, it may reach run_at between the two: a row that waits for
    no time, which PostgreSQL refuses."""
    assert not re.search(r"\brun_at > clock_timestamp\(\)", STATEMENTS[name])


TWO_EVENTS = {"results.RESULT", "sessions.CONNECT"}


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_time_of_an_event_is_taken_in_one_way(name: str) -> None:
    """The later of now and a microsecond after the last event, so that a story's times increase."""
    text = STATEMENTS[name]
    taken = re.findall(r"greatest\(\s*clock_timestamp\(\),\s*([^)]*)\)", text)
    ways = {re.sub(r"^[jpw]\.", "", way) for way in taken}
    # A result may write two events: the accept that it overtook, and its own; a connect the renewal
    # of the worker's secret and its new state.
    two = "updated_at + interval '2 microseconds'"
    one = "updated_at + interval '1 microsecond'"
    assert ways <= {two if name in TWO_EVENTS else one}, ways
    if re.search(r"UPDATE (jobs|workers)\b", text) and "domain_events" in text:
        assert taken, "it writes an event and does not move updated_at"


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_row_of_the_queue_is_what_its_job_says(name: str) -> None:
    for into, select in re.findall(
        r"INSERT INTO job_queue \(([^)]*)\)\s*SELECT (.*?)\n    FROM", STATEMENTS[name], re.DOTALL
    ):
        columns = [column.strip() for column in into.split(",")]
        assert columns[:4] == ["job_id", "priority", "enqueued_at", "labels"]
        assert re.match(
            r"(\w)\.id,\s*\1\.priority,\s*\1\.\w+,\s*coalesce\(\1\.spec -> 'labels', '{}'\)", select
        ), select
        # Its queue_timeout counts: from when it is ready, from when it is seen, or as it did before.
        assert {"unseen_ms", "expires_at"} & {*columns}
        assert "queue_timeout_ms" in select


@pytest.mark.parametrize(
    ("record", "statement"),
    [
        (results.Result, results.RESULT),
        (job_logs.Chunk, job_logs.APPEND),
        (job_logs.Chunk, job_logs.APPEND_LATE),
        (log_cursors.Begin, log_cursors.MEND),
        (sessions.Heartbeat, sessions.BEAT),
    ],
)
def test_the_fields_of_a_record_are_what_its_statement_takes(record: Any, statement: str) -> None:
    arrays, columns = re.findall(r"FROM unnest\((.*?)\) AS s \((.*?)\)", statement, re.DOTALL)[0]
    assert tuple(re.findall(r"%\((\w+)\)s", arrays)) == record._fields
    assert tuple(re.findall(r"\w+", columns)) == record._fields


def test_a_job_shown_has_a_field_for_each_column() -> None:
    columns = re.sub(r"\bFROM jobs.*", "", jobs.GET, flags=re.DOTALL)
    while (
        inner := re.sub(r"\([^()]*\)|\bCASE\b(?:(?!CASE|END).)*\bEND\b", "", columns, flags=re.S)
    ) != columns:
        columns = inner
    assert columns.count(",") + 1 == len(dataclasses.fields(jobs.Job))


def test_terms_are_parameters() -> None:
    """They stand in hodei/domain/timing.py, each once."""
    terms = re.compile(r"interval '(?!0|1 (?:micro|milli|day|year|hour)|1 second')[^']*second")
    wrong = {name: terms.findall(text) for name, text in STATEMENTS.items() if terms.search(text)}
    assert set(wrong) <= TWO_EVENTS, wrong  # a microsecond more for the second event


def test_the_policy_of_results_is_the_table_of_the_docs() -> None:
    verdict = results.RESULT.partition("AS verdict")[0].rpartition("AS ended_at")[2]
    written = re.findall(r"ARRAY\[(.*?), (.*?)\]", verdict)
    page = (TREE / "docs/architecture.md").read_text()
    table = page.partition("| the attempt | ")[2].partition("\n\n")[0].splitlines()[2:]
    told = [[cell.strip() for cell in row.strip("|").split("|")][-2:] for row in table]
    of_attempt = {"c.outcome": "its outcome", "c.reason": "its reason"}
    assert told == [[of_attempt.get(cell, cell.strip("'")) for cell in pair] for pair in written]
    for state, _ in written[:-1]:
        assert may_become(JobState.RUNNING, JobState(state.strip("'")))
    for outcome in set(Outcome) - {Outcome.LOST}:
        assert may_become(JobState.RUNNING, JobState(outcome))
