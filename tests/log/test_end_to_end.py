"""The logs of real servers and workers: the audit's events in its order, JSON throughout, and no
alarm for what is normal."""

import json
import re
import signal
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hodei.domain.text import shown
from hodei.local.embedded_postgres import EmbeddedPostgres, free_port
from hodei.local.stack import Part, Stack, mint_token
from tests.eventually import eventually
from tests.running import Hodei, start

NASTY = (
    "x\x1b[31m\x9b1mred\u202e\u2028\nforged INFO JobController: JobStatusChanged PENDING → FAILED"
)

LINE = re.compile(
    r" (?:JobController|JobDispatcher|JobRescuer): (?P<words>.*) correlation_id=(?P<correlation>.*) "
    r"actor=(?P<actor>.*) job_id=(?P<job>[0-9a-f-]{36})(?: worker_id=(?P<worker>[0-9a-f-]{36}))?"
)
EVENT = re.compile(
    r"JobCreated|JobAssigned|JobUnassigned|JobRetried|JobCancelRequested|JobStatusChanged .*"
)

Event = tuple[str, str, str, str | None]
"""What, correlation id, actor, worker."""


@pytest.fixture
def one(pg_server: SimpleNamespace, tmp_path: Path) -> Iterator[Hodei]:
    """One server of this test's own: its log has the whole story."""
    running = start(pg_server, tmp_path, servers=1)
    yield running
    running.stack.stop()
    running.conn.close()


def audited(hodei: Hodei, job_id: str) -> list[Event]:
    found = hodei.sql(
        """SELECT event_type, correlation_id, actor, worker_id::text, payload ->> 'old_state',
                  payload ->> 'new_state', payload ->> 'reason'
           FROM domain_events
           WHERE aggregate_id = %s
           ORDER BY occurred_at""",
        job_id,
    )
    events: list[Event] = []
    for kind, correlation, actor, worker, old, new, reason in found:
        words = kind
        if kind == "JobStatusChanged":
            words = f"{kind} {old} → {new}" + (f" ({reason})" if reason else "")
        events.append((words, shown(correlation), shown(actor), worker))
    return events


def logged(hodei: Hodei, job_id: str, name: str = "server-0") -> list[Event]:
    events: list[Event] = []
    for line in hodei.log(name).split("\n"):
        found = LINE.search(line)
        event = found and EVENT.search(found["words"])
        if found and event and found["job"] == job_id:
            events.append((event[0], found["correlation"], found["actor"], found["worker"]))
    return events


def test_lines_are_the_audits_events_in_its_order_and_with_its_actors(one: Hodei) -> None:
    one.stack.worker("worker", one.addresses[0], one.folder / "w", one.token(), "--slots", "2")
    plain = one.submit("--correlation-id", "wf-1", "--command", "true")
    fails = one.submit("--retries", "1", "--command", "exit 3")
    waits = one.submit("--label", "nobody=has", "--command", "true")
    late = one.submit("--label", "nobody=has", "--queue-timeout", "1s", "--command", "true")
    runs = one.submit("--command", "sleep 30")
    one.until(runs, "RUNNING")
    one.ok("job", "cancel", waits)
    one.ok("job", "cancel", runs)
    for job_id in (plain, fails, waits, runs, late):
        one.finish(job_id)
    again = one.ok("job", "retry", plain).text.strip()
    one.finish(again)
    for job_id in (plain, fails, waits, runs, late, again):
        eventually(lambda job_id=job_id: len(logged(one, job_id)) >= len(audited(one, job_id)))  # type: ignore[misc]
        assert logged(one, job_id) == audited(one, job_id)
        assert len(audited(one, job_id)) >= 2
    worker_id = one.job(plain)["worker_id"]
    assert [event[0] for event in logged(one, plain)] == [
        "JobCreated",
        "JobAssigned",
        "JobStatusChanged PENDING → RUNNING",
        "JobStatusChanged RUNNING → SUCCEEDED",
    ]
    words = [
        found["words"]
        for line in one.log("server-0").splitlines()
        if (found := LINE.search(line)) and found["job"] == plain
    ]
    assert words[0] == "Job created successfully (JobCreated)"
    assert re.fullmatch(
        r"Dispatching job to worker \(JobAssigned, lease \d+\): RUN_JOB command sent successfully: Job dispatched successfully",
        words[1],
    )
    theirs = [line for line in one.log("worker").splitlines() if plain in line]
    ending = f" correlation_id=wf-1 actor=worker:{worker_id} job_id={plain} worker_id={worker_id}"
    assert len(theirs) == 2, "with the server's four, six lines a job"
    assert all(line.endswith(ending) for line in theirs)
    assert re.search(
        r"Received job \(lease \d+, attempt 1.*\)\. Executing command: true ", theirs[0]
    )
    assert re.search(
        r"Job ended: SUCCEEDED, exit code 0, \d\.\d{3} s; LogBatch: 0 chunks ", theirs[1]
    )


def test_many_short_jobs_are_logged_in_the_audits_order(one: Hodei) -> None:
    """Accepts and results of one frame, claims along with creates, offers ahead of free slots."""
    one.stack.worker("worker", one.addresses[0], one.folder / "w", one.token(), "--slots", "4")
    specs = "\n".join(
        json.dumps({"id": str(uuid.uuid4()), "command": f"exit {n % 2}"}) for n in range(120)
    )
    ids = one.ok("job", "submit", "--file", "-", stdin=specs.encode()).text.split()
    assert len(ids) == 120
    eventually(
        lambda: one.sql("SELECT count(*) FROM jobs WHERE completed_at IS NOT NULL") == [(120,)], 60
    )
    for job_id in ids:
        # On a busy machine an offer may have come back, and the audit has it once more.
        eventually(lambda job_id=job_id: logged(one, job_id) == audited(one, job_id))  # type: ignore[misc]
        assert len(logged(one, job_id)) >= 4
    lines = [
        line
        for line in one.log("worker").splitlines()
        if "Received job" in line or "LogBatch" in line
    ]
    assert len(lines) == 240


def test_nothing_in_a_row_forges_a_line_or_reaches_a_terminal(one: Hodei) -> None:
    """The door refuses controls now: rows that an older release took are set by hand."""
    job_id = one.submit("--run-at", "2126-01-01T00:00:00Z", "--command", "printf a; exit 1")
    other = one.submit("--run-at", "2126-01-01T00:00:00Z", "--command", "true")
    one.sql(
        "UPDATE jobs SET name = %s, correlation_id = %s, actor = %s", NASTY, NASTY, f"sql:{NASTY}"
    )
    one.sql("UPDATE job_queue SET ready_at = now()")
    one.sql("UPDATE jobs SET spec = spec - 'run_at'")
    one.stack.worker("worker", one.addresses[0], one.folder / "w", one.token())
    one.finish(job_id)
    one.finish(other)
    eventually(lambda: len(logged(one, job_id)) == 4)
    assert logged(one, job_id)[1:] == audited(one, job_id)[1:]
    for name in ("server-0", "worker"):
        text = one.log(name)
        for line in text.removesuffix("\n").split("\n"):
            assert line.isprintable(), line
            assert re.match(r"\d{4}-\d\d-\d\dT", line), line
        assert "x\\x1b[31m\\x9b1mred\\u202e\\u2028\\nforged" in text


# ── JSON ──


def objects(part: Part) -> list[dict[str, Any]]:
    text = part.log.read_text()
    assert text.endswith("\n") or not text
    return [json.loads(line) for line in text.splitlines()]


def test_every_line_of_json_is_json_also_with_the_database_away(
    open_folder: Path, tmp_path: Path
) -> None:
    with (
        EmbeddedPostgres(open_folder / "pg", durable=False) as database,
        Stack(tmp_path / "logs") as stack,
    ):
        url = database.dsn()
        environment = {
            "HODEI_LOG_FORMAT": "json",
            "HODEI_LOG": "info,psycopg.pool=debug",
            "GRPC_VERBOSITY": "debug",
            "GRPC_TRACE": "http",
        }
        address = stack.server("server", url, environment=environment)
        stack.worker("worker", address, tmp_path / "w", mint_token(url), environment=environment)
        database.stop()
        server, worker = stack.parts
        eventually(
            lambda: any(
                o["part"].startswith("psycopg") and "error connecting" in o["message"]
                for o in objects(server)
            ),
            30,
        )
        time.sleep(2.0)
        database.start()
        time.sleep(2.0)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        eventually(lambda: any("cannot connect to" in o["message"] for o in objects(worker)), 30)
        stack.stop()
        for part in (server, worker):
            assert all({"time", "level", "message", "part"} <= set(o) for o in objects(part))
        assert all(o["worker_id"] for o in objects(worker))


def test_a_program_that_cannot_start_says_so_in_json(one: Hodei) -> None:
    """A port that is taken, a setting that is none, a token that nobody minted, a fault of the
    program itself."""
    json_log = {"HODEI_LOG_FORMAT": "json", "DATABASE_URL": one.url}
    stack, port = one.stack, one.addresses[0]
    state = ["--state-dir", str(one.folder / "w")]
    false_token = {"HODEI_OTP_TOKEN": str(uuid.uuid4())}
    (one.folder / "file").write_text("")
    (one.folder / "file").chmod(0o644)
    open_to_others = {"DATABASE_URL": "postgresql://u@h", "PGPASSFILE": str(one.folder / "file")}
    starts: list[tuple[str, list[str], dict[str, str], str]] = [
        ("taken", ["hodei.cli.server", "--grpc", port], {}, "cannot listen on"),
        ("public", ["hodei.cli.server", "--grpc", f"0.0.0.0:{free_port()}"], {}, "insecure"),
        (
            "level",
            ["hodei.cli.server", "--grpc", port],
            {"HODEI_LOG": "loud"},
            "log level: expected one of",
        ),
        ("level-2", ["hodei_worker", *state], {"HODEI_LOG": "loud"}, "log level: expected one of"),
        ("label", ["hodei_worker", "--label", "x", *state], {}, "label"),
        ("flag", ["hodei.cli.server", "--nope"], {}, "--nope"),
        ("flag-2", ["hodei_worker", "--nope"], {}, "--nope"),
        ("slots", ["hodei_worker", "--slots", "abc"], {}, "abc"),
        ("url", ["hodei.cli.server"], {"DATABASE_URL": "nonsense"}, "is no database URL"),
        ("passwords", ["hodei.cli.server"], open_to_others, "chmod 600"),
        ("no-url", ["hodei.cli.server"], {"DATABASE_URL": ""}, "DATABASE_URL"),
        ("url-file", ["hodei.cli.server", "--database-url-file", "/nope"], {}, "/nope"),
        (
            "by-flag",
            ["hodei.cli.server", "--log-format=json", "--nope"],
            {"HODEI_LOG_FORMAT": ""},
            "--nope",
        ),
        ("token", ["hodei_worker", "--server", port, *state], false_token, "token"),
        ("folder", ["hodei_worker", "--state-dir", str(one.folder / "file" / "w")], {}, "file"),
    ]
    for name, argv, environment, words in starts:
        part = stack.start(name, argv, json_log | environment)
        assert part.process.wait(30) != 0, name
        stack.parts.remove(part)
        last = objects(part)[-1]
        assert words in json.dumps(last), (name, last)
        assert last["level"] in ("error", "critical")


# ── what is normal ──


def alarms(stack: Stack) -> list[str]:
    found = []
    for log in sorted(stack.logs.glob("*.log")):
        found += [
            f"{log.name}: {line}"
            for line in log.read_text().splitlines()
            if re.search(r" (WARNING|ERROR|CRITICAL) |Traceback|Error", line)
        ]
    return found


@pytest.mark.long
def test_a_first_start_a_deploy_and_a_balancing_move_raise_no_alarm(fresh: Hodei) -> None:
    """Workers with jobs that write logs all the while; each server is stopped and started again, as
    in a deploy."""
    everywhere = ",".join(fresh.addresses)
    for name in ("worker-0", "worker-1"):
        fresh.stack.worker(name, everywhere, fresh.folder / name, fresh.token(), "--slots", "4")
    for _ in range(4):
        fresh.submit("--command", "for n in $(seq 1 60); do echo $n; sleep 0.2; done")
    eventually(lambda: fresh.sql("SELECT count(*) FROM jobs WHERE state = 'RUNNING'") == [(4,)])
    for number, address in enumerate(fresh.addresses):
        old = fresh.stack.parts[number]
        old.process.send_signal(signal.SIGTERM)
        assert old.process.wait(20) == 0
        old.log.rename(old.log.with_name(f"old-{number}.log"))
        port = int(address.rpartition(":")[2])
        fresh.stack.server(f"server-{number}", fresh.url, port)
        fresh.stack.parts[number] = fresh.stack.parts.pop()
    eventually(
        lambda: fresh.sql("SELECT count(*) FROM jobs WHERE state = 'SUCCEEDED'") == [(4,)], 60
    )
    moved = "1 of 2 workers are sent to other servers"
    eventually(lambda: moved in fresh.log("server-0") + fresh.log("server-1"), 40)
    time.sleep(4.0)
    fresh.stack.stop()
    assert alarms(fresh.stack) == []
    assert "registering with the token" in fresh.log("worker-0")


def test_a_servers_first_start_raises_no_alarm(empty_database_url: str, tmp_path: Path) -> None:
    with Stack(tmp_path / "logs") as stack:
        stack.server("server", empty_database_url)
        stack.stop()
        assert "applied schema" in (stack.logs / "server.log").read_text()
        assert alarms(stack) == []
