"""A job as it is shown: its spec can be submitted again, and its story is told in words."""

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import uuid
from pathlib import Path

import pytest

from tests.end_to_end.in_process import here
from tests.running import Hodei

SCRIPT = '#!/bin/sh\nread line\necho "$line $A"\n'


def test_the_spec_of_any_job_can_be_submitted_again(hodei: Hodei, tmp_path: Path) -> None:
    script = tmp_path / "report.sh"
    script.write_text(SCRIPT)
    specs = [
        {"command": "echo one"},
        {"command": ["echo", "two words", "é\"'"]},
        {"script": SCRIPT, "stdin": "in\n", "env": {"A": "three"}, "timeout": "1h30m"},
        {"script": "print('four')", "interpreter": [sys.executable, "-I"], "retries": 1},
        {"command": "cat", "stdin_base64": "Zml2ZQo="},
    ]
    ids = hodei.submit("--file", "-", stdin=json.dumps(specs).encode()).split()
    ids.append(hodei.submit("--script", str(script), "--env", "A=six", "--workdir", "/"))
    hodei.all_succeeded(ids)
    shown = [here(hodei, "job", "get", job, "--spec").stdout for job in ids]
    again = hodei.submit("--file", "-", stdin="".join(shown).encode()).split()
    hodei.all_succeeded(again)
    assert not {*ids} & {*again}
    for job, new, spec in zip(ids, again, shown, strict=True):
        specs_now = hodei.sql("SELECT spec FROM jobs WHERE id = ANY (%s::uuid[])", [job, new])
        assert specs_now == [(json.loads(spec),)] * 2
        assert hodei.wrote(new) == hodei.wrote(job) != ""


@pytest.fixture(scope="module")
def retried(shared: Hodei, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A job that has failed once, and then succeeded."""
    folder = tmp_path_factory.mktemp("retried")
    folder.chmod(0o777)
    command = f"[ -e {folder}/mark ] || {{ touch {folder}/mark; exit 5; }}"
    job = shared.submit("--retries", "1", "--name", "語" * 60, "--command", command)
    shared.finish(job)
    return job


def test_a_story_names_workers_and_says_values_in_words(hodei: Hodei, retried: str) -> None:
    name = hodei.job(retried)["worker_name"]
    told = hodei.ok("job", "timeline", retried).text
    rows = [re.split(r"  +", line.strip()) for line in told.splitlines()]
    changes = [row[2:] for row in rows if row[1] == "JobStatusChanged"]
    assert [(state, what.partition(", lease")[0]) for state, what, _ in changes] == [
        ("RUNNING", f"attempt 1, on {name}"),
        ("PENDING", f"EXIT_NONZERO, exit code 5, attempt 1, on {name}"),
        ("RUNNING", f"attempt 2, on {name}"),
        ("SUCCEEDED", f"exit code 0, attempt 2, on {name}"),
    ]
    assert {who for _, _, who in changes} == {f"worker {name}"}
    (retry,) = [row[2] for row in rows if row[1] == "JobRetried"]
    assert re.fullmatch(r"EXIT_NONZERO, 1 failed so far, not before \d\d:\d\d:\d\d", retry), retry
    shown = hodei.ok("job", "timeline", retried, "--format", "json").json
    assert {one["worker_name"] for one in shown} == {None, name}
    tried = hodei.ok("job", "attempts", retried, "--format", "json").json
    assert [one["worker_name"] for one in tried] == [name, name]
    assert hodei.ok("job", "attempts", retried).text.count(f" {name}\n") == 2
    worker = hodei.job(retried)["worker_id"]
    assert f"worker          {name} ({worker})\n" in hodei.ok("job", "get", retried).text


def test_a_row_set_by_hand_is_shown(hodei: Hodei) -> None:
    job = str(uuid.uuid4())
    hodei.sql(
        "INSERT INTO jobs (id, name, spec, correlation_id, actor, state, completed_at)"
        " VALUES (%s, 'odd', '[1]', 'c', 'a', 'FAILED', now())",
        job,
    )
    for payload in ("[1]", '"x"', '{"reason": [1], "exit_code": "x", "not_before": 5}'):
        hodei.sql(
            "INSERT INTO domain_events"
            " (occurred_at, event_type, aggregate_id, correlation_id, actor, payload)"
            " VALUES (clock_timestamp(), 'Odd', %s, 'c', 'a', %s)",
            job,
            payload,
        )
    assert "state           FAILED" in hodei.ok("job", "get", job).text
    assert hodei.ok("job", "get", job, "--spec").text == "[1]\n"
    assert hodei.ok("job", "timeline", job).text.count("Odd") == 3
    hodei.sql("DELETE FROM jobs WHERE id = %s", job)


@pytest.mark.parametrize("width", [40, 80, 200])
def test_tables_fit_a_terminal(hodei: Hodei, retried: str, width: int) -> None:
    lines = in_terminal(hodei, width, "job", "list", "--name", "語*").splitlines()
    assert retried[-8:] in lines[1]
    assert "SUCCEEDED" in lines[1]
    assert ("…" in lines[1]) == (width < 200)
    told = in_terminal(hodei, width, "job", "timeline", retried)
    assert told.count("JobStatusChanged") == 4
    tried = in_terminal(hodei, width, "job", "attempts", retried)
    assert "FAILED" in tried
    assert "SUCCEEDED" in tried

    for line in (*lines, *told.splitlines(), *tried.splitlines()):
        assert cells(line) <= width, line


def cells(line: str) -> int:
    return sum(2 if char == "語" else 1 for char in line)


def in_terminal(hodei: Hodei, width: int, *words: str) -> str:
    """What `hodei …` shows in a terminal so wide, without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    command = [sys.executable, "-m", "hodei.cli.main", "--server", hodei.addresses[0], *words]
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm"}
    environment.pop("COLUMNS", None)
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    out = b""
    try:
        while data := os.read(ours, 10_000):
            out += data
    except OSError:  # the terminal has nobody any more
        pass
    os.close(ours)
    assert process.wait(30) == 0, out
    return out.decode().replace("\r\n", "\n")


def test_a_time_without_an_end_is_shown_as_never(hodei: Hodei) -> None:
    """A hand has set it. JSON has the last time of the calendar, and a list all other jobs."""
    job, other = (hodei.submit("--run-at", "+1h", "--command", "true") for _ in range(2))
    hodei.sql(
        "UPDATE jobs SET created_at = 'infinity', run_at = 'infinity' WHERE id = %s",
        job,
    )
    hodei.sql("UPDATE job_queue SET ready_at = 'infinity' WHERE job_id = %s", job)
    text = here(hodei, "job", "get", job).stdout
    for line in ("waits for +its time, never", "created +never", "not before +never"):
        assert re.search(f"^{line}$", text, re.MULTILINE), text
    shown = hodei.job(job)
    assert shown["run_at"] == shown["created_at"] == "9999-12-31T23:59:59.999999Z"
    listed = here(hodei, "job", "list", "--state", "PENDING", "-q").stdout.split()
    assert {job, other} <= {*listed}
    hodei.ok("job", "cancel", job, other)
