"""Each verb of both clients, on a real system."""

import re
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from hodei.client import (
    Conflict,
    Duplicate,
    Invalid,
    Job,
    NotFound,
    TimedOut,
    new_id,
)
from tests.client.conftest import Make
from tests.running import Hodei

NEVER = {"labels": {"never": "there"}}
"""Of a job that no worker here can take."""


@pytest.fixture
def client(hodei: Hodei, make: Make) -> Any:
    return make(hodei.addresses, actor="tests of ñ")


def test_a_job_is_submitted_waited_for_and_read(client: Any) -> None:
    script = "echo one; echo two >&2; exit 3"
    job_id = client.submit(command=script, name="first", env={"A": "b"}, retries=0)
    job = client.wait(job_id, timeout=60)
    assert isinstance(job, Job)
    assert (job.job_id, job.name, job.state) == (job_id, "first", "FAILED")
    assert (job.reason, job.exit_code, job.attempts) == ("EXIT_NONZERO", 3, 1)
    assert job.actor == "python:tests?of??"
    assert job.spec == {"command": script, "name": "first", "env": {"A": "b"}, "retries": 0}
    assert job.created_at and job.completed_at
    assert job.created_at.tzinfo is UTC
    assert timedelta() < job.completed_at - job.created_at < timedelta(minutes=2)
    assert client.get(job) == client.get(uuid.UUID(job_id)) == job
    chunks = sorted(client.logs(job), key=lambda chunk: chunk.stream)
    assert [(c.stream, c.data, c.text) for c in chunks] == [
        ("stderr", b"two\n", "two\n"),
        ("stdout", b"one\n", "one\n"),
    ]
    assert {(c.attempt, c.byte_offset, c.first_line, c.late) for c in chunks} == {(1, 0, 1, False)}
    (attempt,) = client.attempts(job)
    assert (attempt.attempt, attempt.outcome, attempt.exit_code) == (1, "FAILED", 3)
    events = client.timeline(job)
    assert events[0].event_type == "JobCreated"
    assert isinstance(events[0].payload, dict)
    assert events[0].occurred_at == job.created_at
    assert events[-1].occurred_at == job.updated_at


def test_a_spec_is_a_mapping_keys_or_both(client: Any) -> None:
    spec = {"command": ["true"], "priority": 1, "name": None, **NEVER}
    run_at = datetime.now(UTC) + timedelta(days=2)
    job_id = client.submit(
        spec, priority=2, timeout=timedelta(minutes=10), run_at=run_at, stdin=b"\0\xff"
    )
    job = client.get(job_id)
    assert job.run_at == run_at
    assert job.spec["timeout"] == 600
    assert (job.spec["priority"], job.spec["stdin_base64"]) == (2, "AP8=")
    client.cancel(job)


def test_the_same_id_and_spec_is_the_same_job(client: Any) -> None:
    mine = new_id()
    assert client.submit(id=mine, command="true", **NEVER) == mine
    assert client.submit({"id": uuid.UUID(mine), "command": "true", **NEVER}) == mine
    with pytest.raises(Duplicate, match=f"^id: job {mine} exists with another spec$"):
        client.submit(id=mine, command="false", **NEVER)
    client.cancel(mine)


def test_many_are_stored_together_or_not_at_all(client: Any, hodei: Hodei) -> None:
    """1,001 go in two pieces: the second one is refused by its own."""
    batch = new_id()
    specs = [{"command": "true", "correlation_id": batch, **NEVER} for _ in range(1001)]
    with pytest.raises(Invalid, match=r"^specs\[1\]: retries: expected .*, got -1$"):
        client.submit_many([specs[0], {**specs[1], "retries": -1}])
    assert client.list(correlation_id=batch) == []
    with pytest.raises(
        Invalid,
        match=r"^specs\[1000\]: retries: .*, got -1; the first 1000 of 1001 jobs are stored: ",
    ):
        client.submit_many([*specs[:1000], {**specs[1000], "retries": -1}])
    ids = client.submit_many(spec for spec in specs)
    assert len(set(ids)) == 1001
    listed = client.list(correlation_id=batch, state="pending", limit=3000)
    assert len(listed) == 2001
    assert [job.job_id for job in listed[:1001]] == ids[::-1]
    assert [job.job_id for job in client.list(correlation_id=batch, before=ids[2])][:2] == [
        ids[1],
        ids[0],
    ]
    assert listed[0].spec is None
    assert client.submit_many([]) == []
    hodei.sql("DELETE FROM jobs WHERE correlation_id = %s", batch)


def test_many_of_which_some_are_stored_are_submitted_again_and_none_twice(
    client: Any, hodei: Hodei
) -> None:
    """By the id that the error names, and by one that the program has made before."""
    batch, mine = new_id(), new_id()
    specs = [{"command": "true", "correlation_id": batch, **NEVER} for _ in range(1001)]
    with pytest.raises(Invalid) as caught:
        client.submit_many([*specs[:1000], {**specs[1000], "retries": -1}])
    first = re.search(r" with ids_from='(.*)' none of them runs twice$", str(caught.value))
    assert first, caught.value
    stored = client.list(correlation_id=batch, limit=3000)
    ids = client.submit_many(specs, ids_from=first[1])
    assert [job.job_id for job in stored] == ids[:1000][::-1]
    assert len(client.list(correlation_id=batch, limit=3000)) == 1001
    hodei.sql("DELETE FROM jobs WHERE correlation_id = %s", batch)
    own = [specs[0], {**specs[1], "id": new_id()}, specs[2]]
    for ids_from in (mine, uuid.UUID(mine)):
        ids = client.submit_many(own, ids_from=ids_from)
        assert (ids[0], ids[1], len(set(ids))) == (mine, own[1]["id"], 3)
    assert len(client.list(correlation_id=batch)) == 3
    hodei.sql("DELETE FROM jobs WHERE correlation_id = %s", batch)
    for wrong in ("584a465b-d208-4a05-beef-8671b9bc2805", "mine", 7):
        with pytest.raises(Invalid, match=rf"^ids_from: expected .* new_id made, got {wrong}$"):
            client.submit_many(own, ids_from=wrong)


def test_a_waiting_job_is_cancelled_and_run_again(client: Any) -> None:
    job_id = client.submit(command="true", **NEVER)
    with pytest.raises(Conflict, match=f"^job {job_id} is PENDING: only a job that has ended"):
        client.retry(job_id)
    assert client.cancel(job_id).state == "CANCELLED"
    with pytest.raises(Conflict, match=f"^job {job_id} is already CANCELLED"):
        client.cancel(job_id)
    mine = new_id()
    again = client.retry(job_id, new_id=mine)
    assert (again.job_id, again.retry_of, again.state) == (mine, job_id, "PENDING")
    assert client.retry(job_id, new_id=mine).job_id == mine
    client.cancel(again)


def test_a_running_job_is_stopped_and_its_log_followed_to_the_end(client: Any) -> None:
    job_id = client.submit(command="echo begun; exec sleep 60")
    chunks = client.logs(job_id, follow=True)
    assert next(chunks).data == b"begun\n"
    stopped = client.cancel(job_id)
    assert stopped.cancel_requested or stopped.state == "CANCELLED"
    assert list(chunks) == []
    assert client.wait(job_id, 60).state == "CANCELLED"


def test_a_part_of_a_log_is_read(client: Any) -> None:
    """Of the last attempt, of the last lines, of a time."""
    job_id = client.submit(command="for n in 1 2 3; do echo $n; done; exit 1", retries=1)
    job = client.wait(job_id, 60)
    assert job.attempts == 2

    def read(**part: Any) -> bytes:
        return b"".join(chunk.data for chunk in client.logs(job, **part))

    assert read() == b"1\n2\n3\n" * 2
    assert read(attempt=2) == b"1\n2\n3\n"
    assert read(attempt=1, tail=2, follow=True) == b"2\n3\n"
    assert read(tail=0) == b""
    assert read(since=timedelta(minutes=10)) == read(since=job.created_at) == read()
    assert read(since=datetime.now(UTC) + timedelta(minutes=1)) == b""
    with pytest.raises(NotFound, match="attempt 3"):
        read(attempt=3)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"attempt": 0}, r"^attempt: expected a whole number from 1 to 4294967295, got 0$"),
        ({"tail": -1}, r"^tail: expected a whole number from 0 to 1000000, got -1$"),
        ({"tail": "9"}, r"^tail: expected a whole number from 0 to 1000000, got '9'$"),
        ({"since": datetime(2026, 1, 1)}, r"^since: expected a datetime with its offset or a "),
    ]
    for part, words in cases:
        with pytest.raises(Invalid, match=words):
            client.logs(job, **part)


def test_waiting_ends_in_time(client: Any) -> None:
    job_id = client.submit(command="true", **NEVER)
    words = f"^job {job_id} has not ended within 0.2 s: it is PENDING$"
    with pytest.raises(TimedOut, match=words) as caught:
        client.wait(job_id, timeout=0.2)
    assert isinstance(caught.value, TimeoutError)
    client.cancel(job_id)
    assert client.wait(job_id, timeout=10).state == "CANCELLED"


@pytest.mark.parametrize("verb", ["get", "wait", "cancel", "retry", "timeline", "attempts", "logs"])
def test_what_is_not_there_is_not_found(client: Any, verb: str) -> None:
    stranger = new_id()
    with pytest.raises(NotFound, match=f"^no job {stranger}$"):
        list(getattr(client, verb)(stranger))


@pytest.mark.parametrize("verb", ["get", "wait", "cancel", "retry", "timeline", "attempts", "logs"])
@pytest.mark.parametrize("odd", ["", "x", "\0", "\ud800", 7, None, b"", "é" * 1000])
def test_what_is_no_id_is_refused_before_anything_is_sent(
    make: Make, verb: str, odd: object
) -> None:
    client = make("127.0.0.1:1")
    with pytest.raises(Invalid, match=r"^job_id: expected a UUID, got "):
        getattr(client, verb)(odd)


CYCLE: dict[str, Any] = {}
CYCLE["env"] = CYCLE

LAST_TIME = datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))
"""In UTC it is beyond the calendar."""

ODD_SPECS: list[tuple[Any, str]] = [
    ({}, "^command: expected a command or a script, got neither$"),
    ({"comand": "x"}, "^comand: unknown key; known are id, "),
    ({"command": "x\0"}, "^command: expected text without NUL$"),
    ({"command": "\ud800"}, "^command: expected valid Unicode text$"),
    ({"command": "true", "timeout": float("nan")}, "^timeout: expected what JSON can say: "),
    ({"command": "true", "env": {"A": object()}}, "^env.A: expected what JSON can say: "),
    ({"command": "true", "run_at": datetime(2026, 1, 1)}, "^run_at: .* a time with its offset"),
    ({"command": b"true"}, "^command: expected what JSON can say: .* type bytes$"),
    ({"command": "true", "labels": {"a", "b"}}, "^labels: .* a value of type set$"),
    ({"command": "true", "run_at": LAST_TIME}, "^run_at: expected what JSON can say: "),
    (CYCLE, "^env.env: expected what JSON can say: "),
    ({"command": "true", "id": "x"}, "^id: expected a UUID, got "),
    ({"command": "true", "name": "a\nb"}, "^name: expected text without control characters$"),
    ({"command": "x" * (10 << 20)}, "^spec: expected at most 1048576 characters of JSON, got "),
    ({"command": "x" * (1 << 19)}, "^spec: expected at most 262144 bytes of JSON, got "),
    (["command"], "^spec: expected a mapping of keys, got list$"),
]


@pytest.mark.parametrize(("spec", "words"), ODD_SPECS, ids=lambda value: str(value)[:30])
def test_a_wrong_spec_is_refused_in_words(client: Any, spec: Any, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        client.submit(spec)


def test_a_list_has_filters(client: Any) -> None:
    batch = new_id()
    same = {"correlation_id": batch, **NEVER}
    ids = client.submit_many([{"command": "true", "name": f"n{n}", **same} for n in range(3)])
    client.cancel(ids[0])
    now = datetime.now(UTC)
    cases: list[tuple[dict[str, Any], list[int]]] = [
        ({"name": "n?", "state": ["PENDING", "RUNNING"]}, [2, 1]),
        ({"state": {"CANCELLED"}, "reason": "cancelled"}, [0]),
        ({"labels": {"never": "there"}, "actor": "python:tests?of??"}, [2, 1, 0]),
        ({"labels": {"never": "here"}}, []),
        ({"since": timedelta(minutes=5), "until": now + timedelta(minutes=5)}, [2, 1, 0]),
        ({"since": now + timedelta(minutes=5)}, []),
        ({"worker": new_id()}, []),
        ({"name": None, "state": None}, [2, 1, 0]),
    ]
    for options, numbers in cases:
        found = client.list(correlation_id=batch, **options)
        assert [job.name for job in found] == [f"n{n}" for n in numbers], options
    for job_id in ids[1:]:
        client.cancel(job_id)


SEVERAL = ("state", "reason", "worker")
ONE = ("name", "actor", "correlation_id")
"""Filters whose request would mean all jobs if they were empty."""


def test_odd_lists_are_refused_in_words(client: Any) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"state": "DONE"}, "^state: expected one of PENDING, .*, got 'DONE'$"),
        ({"state": "\ud800"}, "^state: expected valid Unicode text without NUL, got "),
        (
            {"correlation_id": "\0"},
            "^correlation_id: expected valid Unicode text without NUL, got ",
        ),
        ({"reason": 7}, "^reason: expected text, got int$"),
        ({"state": ["PENDING", "DONE"]}, "^state: expected one of PENDING, .*, got 'DONE'$"),
        ({"worker": "nobody's"}, "^worker: no worker has the name"),
        ({"labels": ["a"]}, "^labels: expected a mapping, got list$"),
        ({"labels": {"a": "\0"}}, "^labels: expected valid Unicode text without NUL, got "),
        ({"since": datetime(2026, 1, 1)}, "^since: expected a datetime with its offset or a "),
        ({"since": timedelta.max}, "^since: expected a time of the years 1970 to 9999, got "),
        ({"until": timedelta.min}, "^until: expected a time of the years 1970 to 9999, got "),
        *(({key: []}, f"^{key}: expected at least one value") for key in SEVERAL),
        *(({key: ""}, f"^{key}: expected at least one value") for key in (*SEVERAL, *ONE)),
        ({"worker": frozenset()}, "^worker: expected at least one value"),
        ({"project": ""}, "^project: expected 1 to 63 letters"),
        ({"until": timedelta(days=365 * 100)}, "^until: expected a time of the years 1970 to "),
        ({"correlation_id": "x" * (10 << 20)}, "^ListJobs: expected a request of at most 4194304 "),
        ({"correlation_id": "x" * (1 << 20)}, "^expected a request of at most 16384 bytes"),
        ({"stat": "DONE"}, "^stat: no such filter; known are state, reason, worker, "),
        ({"limit": 0}, "^limit: expected a whole number from 1, got 0$"),
        ({"limit": "9"}, "^limit: expected a whole number from 1, got '9'$"),
    ]
    for options, words in cases:
        with pytest.raises(Invalid, match=words):
            client.list(**options)
    with pytest.raises(NotFound, match=r"^before: no job "):
        client.list(before=new_id())
