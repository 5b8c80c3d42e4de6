"""What runs when and where: priority, age, labels, free slots, due times, and the story that is
left."""

import json
import re
import time

import psycopg
import pytest

from tests.eventually import eventually
from tests.running import Hodei


def test_higher_priority_first_then_age(fresh: Hodei) -> None:
    ran = fresh.folder / "ran"
    ids = [
        fresh.submit("--priority", str(priority), "--command", f"echo {name} >>{ran}")
        for name, priority in (("low", -5), ("first", 0), ("second", 0), ("high", 1000))
    ]
    fresh.stack.worker(
        "worker", fresh.addresses[0], fresh.folder / "w", fresh.token(), "--slots", "1"
    )
    fresh.all_succeeded(ids)
    assert ran.read_text().split() == ["high", "first", "second", "low"]


def test_labels_must_match_and_a_waiting_job_says_why(hodei: Hodei) -> None:
    here = hodei.submit("--label", "zone=a", "--command", "true")
    assert hodei.finish(here)["state"] == "SUCCEEDED"
    elsewhere = hodei.submit("--label", "zone=a", "--label", "gpu=a100", "--command", "true")
    job = hodei.job(elsewhere)
    assert job["state"] == "PENDING"
    assert job["waiting_for"].startswith("a worker with gpu=a100, zone=a: the nearest, ")
    assert job["waiting_for"].endswith(", lacks gpu=a100")
    hodei.ok("job", "cancel", elsewhere)


def test_no_more_runs_than_there_are_slots(fresh: Hodei) -> None:
    fresh.stack.worker(
        "worker", fresh.addresses[0], fresh.folder / "w", fresh.token(), "--slots", "2"
    )
    specs = json.dumps([{"command": "sleep 0.5"}] * 5)
    ids = fresh.ok("job", "submit", "--file", "-", stdin=specs.encode()).text.split()
    most = 0
    while fresh.sql("SELECT count(*) FROM jobs WHERE completed_at IS NULL") != [(0,)]:
        most = max(most, fresh.sql("SELECT count(*) FROM jobs WHERE state = 'RUNNING'")[0][0])
        time.sleep(0.02)
    assert most == 2
    assert fresh.sql("SELECT DISTINCT attempts FROM jobs WHERE id = ANY (%s::uuid[])", ids) == [
        (1,)
    ]


def test_run_at_is_honoured(hodei: Hodei) -> None:
    job_id = hodei.submit("--run-at", "+5s", "--command", "true")
    shown = hodei.ok("job", "get", job_id).text
    assert re.search(r"its time, [\d: -]+$", shown, re.M), "a local time, as it has all others"
    hodei.finish(job_id)
    late = hodei.sql(
        "SELECT extract(epoch FROM started_at - run_at)::float8 FROM jobs WHERE id = %s", job_id
    )[0][0]
    assert 0 <= late < 10


def test_a_job_from_sql_runs_just_the_same(hodei: Hodei) -> None:
    (job_id,) = hodei.sql(
        """SELECT hodei_enqueue('{"command": "echo from SQL", "name": "by hand", "actor": "ana"}')::text"""
    )[0]
    job = hodei.finish(job_id)
    assert (job["state"], job["name"], job["actor"]) == ("SUCCEEDED", "by hand", "sql:postgres:ana")
    assert hodei.ok("job", "logs", job_id).text == "from SQL\n"


def test_a_job_without_incident_has_exactly_four_events_in_strict_order(hodei: Hodei) -> None:
    for flags in ((), ("--correlation-id", "wf-7")):
        job_id = hodei.submit("--command", "exit 0", *flags)
        hodei.finish(job_id)
        rows = hodei.sql(
            """
            SELECT event_type, actor, correlation_id, payload->>'old_state', payload->>'new_state',
                   payload->>'success'
            FROM domain_events
            WHERE aggregate_id = %s
            ORDER BY occurred_at
            """,
            job_id,
        )
        worker = hodei.job(job_id)["worker_id"]
        correlation = flags[1] if flags else job_id
        assert rows[0][:2] == ("JobCreated", rows[0][1])
        assert rows[0][1].startswith("cli:")
        assert rows[1:] == [
            ("JobAssigned", "system:job_dispatcher", correlation, None, None, None),
            ("JobStatusChanged", f"worker:{worker}", correlation, "PENDING", "RUNNING", "true"),
            ("JobStatusChanged", f"worker:{worker}", correlation, "RUNNING", "SUCCEEDED", None),
        ]
        ties = """
            SELECT count(*) - count(DISTINCT occurred_at)
            FROM domain_events
            WHERE aggregate_id = %s
        """
        assert hodei.sql(ties, job_id) == [(0,)]
        assert hodei.sql("SELECT count(*) FROM job_events WHERE job_id = %s", job_id) == [(4,)]


def test_the_same_id_and_spec_is_the_same_job_and_another_is_refused(hodei: Hodei) -> None:
    me = "0190b5c5-0000-7000-8000-0000000000aa"
    assert hodei.submit("--id", me, "--command", "echo 1") == me
    assert hodei.submit("--id", me, "--command", "echo 1") == me
    ran = hodei.run("job", "submit", "--id", me, "--command", "echo 2")
    assert (ran.code, ran.err) == (125, f"Error: id: job {me} exists with another spec\n")
    assert hodei.sql(
        "SELECT count(*) FROM domain_events WHERE aggregate_id = %s AND event_type = 'JobCreated'",
        me,
    ) == [(1,)]


def test_specs_from_a_file_in_one_call(hodei: Hodei) -> None:
    specs = [{"command": f"echo {n}", "correlation_id": "many"} for n in range(30)]
    ids = hodei.ok(
        "job", "submit", "--file", "-", stdin="\n".join(map(json.dumps, specs)).encode()
    ).text.split()
    assert len(set(ids)) == 30
    hodei.all_succeeded(ids)
    page = hodei.ok(
        "job", "list", "--correlation-id", "many", "--limit", "10", "--format", "json"
    ).json
    rest = hodei.ok(
        "job",
        "list",
        "--correlation-id",
        "many",
        "--limit",
        "30",
        "--before",
        page[-1]["job_id"],
        "--format",
        "json",
    ).json
    assert sorted(job["job_id"] for job in page + rest) == sorted(ids)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--command", "  "], "command: expected a program to run, got an empty one"),
        ([], "what to run: expected one of --command, --script and -- ARGV…, got none"),
        (["--command", "a", "--", "b"], "got --command and -- ARGV"),
        (["--script", "/no/such/file"], "--script /no/such/file: No such file or directory"),
        (["--command", "x", "--env", "A"], "--env: A is not set here"),
        (["--command", "x", "--env", "1=2"], "--env: expected NAME=VALUE"),
        (["--command", "x", "--label", "gpu"], "--label: expected KEY=VALUE, got 'gpu'"),
        (
            ["--command", "x", "--timeout", "0"],
            '--timeout: expected seconds from 0.001 to 31536000, as 90, "90s" or "1h30m", got "0"',
        ),
        (["--command", "x", "--timeout", "soon"], "--timeout: expected seconds"),
        (["--command", "x", "--id", "7"], "--id: expected a UUID, got '7'"),
        (["--command", "x", "--run-at", "tomorrow"], "--run-at: expected ISO 8601"),
        (
            ["--command", "x", "--priority", "5000"],
            "priority: expected a whole number from -1000 to 1000, got 5000",
        ),
    ],
)
def test_bad_input_gets_one_clear_message_and_leaves_nothing(
    hodei: Hodei, flags: list[str], words: str
) -> None:
    before = hodei.sql("SELECT count(*) FROM domain_events WHERE event_type = 'JobCreated'")
    ran = hodei.run("job", "run", *flags)
    assert ran.code == 2
    assert words in ran.err
    assert hodei.sql("SELECT count(*) FROM domain_events WHERE event_type = 'JobCreated'") == before


def test_a_refused_spec_of_a_batch_does_not_touch_the_others(hodei: Hodei) -> None:
    import grpc

    from hodei.protocol import hodei_pb2 as pb
    from hodei.protocol import hodei_pb2_grpc

    with grpc.insecure_channel(hodei.addresses[0]) as channel:
        stub = hodei_pb2_grpc.JobServiceStub(channel)
        specs = [
            '{"command": "true"}',
            '{"comand": "true"}',
            '{"command": "a\\u0000"}',
            '{"command": "true"}',
        ]
        entries = stub.CreateJobs(pb.CreateJobsRequest(specs=specs)).entries
        assert [e.error.split(";")[0] for e in entries] == [
            "",
            "comand: unknown key",
            "command: expected text without NUL",
            "",
        ]
        assert [e.error_code for e in entries] == ["", "INVALID_ARGUMENT", "INVALID_ARGUMENT", ""]
        for entry in (entries[0], entries[3]):
            assert hodei.finish(entry.job_id)["state"] == "SUCCEEDED"
        with pytest.raises(grpc.RpcError) as refusal:
            stub.GetJob(pb.JobRef(job_id="x"))
        assert refusal.value.code() == grpc.StatusCode.INVALID_ARGUMENT


def test_an_idle_dispatcher_says_so_and_that_the_controller_lives(fresh: Hodei) -> None:
    eventually(lambda: "JobDispatcher: No jobs in queue" in fresh.log("server-0"))
    fresh.submit("--command", "true")
    eventually(lambda: "JobDispatcher: No available workers" in fresh.log("server-0"))
    assert "JobController: alive: 0 workers connected" in fresh.log("server-0")


def test_of_a_job_that_has_just_become_due_the_log_does_not_say_that_nobody_runs_it(
    fresh: Hodei,
) -> None:
    fresh.stack.worker("worker", fresh.addresses[0], fresh.folder / "w", fresh.token())
    for _ in range(3):
        fresh.finish(fresh.submit("--run-at", "+1s", "--command", "true"))
    assert "No available workers" not in fresh.log("server-0")


def test_lines_as_json(fresh: Hodei) -> None:
    fresh.stack.server(
        "json",
        fresh.url,
        0,
        "--log-format",
        "json",
        environment={"HODEI_LOG": "info,hodei.flow=debug"},
    )
    for line in fresh.log("json").splitlines():
        assert {"time", "level", "message"} <= set(json.loads(line))


def test_an_old_transaction_is_named_while_it_holds_dead_rows_back(fresh: Hodei) -> None:
    """Each claimed job leaves a dead row in the queue. Jobs go on, and the log says whom to ask."""
    argv = ["bench.worker", fresh.addresses[0], "--slots", "400"]
    fresh.stack.await_words(
        fresh.stack.start("bench", argv, {"HODEI_OTP_TOKEN": fresh.token()}), "connected"
    )
    with psycopg.connect(fresh.url, application_name="monthly-report") as report:
        report.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        ((pid,),) = report.execute(
            "SELECT pg_backend_pid() FROM jobs RIGHT JOIN (VALUES (1)) one ON true LIMIT 1"
        ).fetchall()

        def enqueue(jobs: int) -> None:
            fresh.sql(
                """
                SELECT count(*) FROM hodei_create_jobs((
                    SELECT jsonb_agg(
                        jsonb_build_object(
                            'id', hodei_uuid7(), 'actor', 'test', 'spec',
                            '{"command": "true"}'::jsonb))
                    FROM generate_series(1, %s)))
                """,
                jobs,
            )

        for _ in range(12):
            enqueue(1000)

        def named() -> bool:
            enqueue(250)  # a server that claims nothing need not look
            return f"the oldest transaction is of process {pid} (monthly-report" in fresh.log(
                "server-0"
            )

        eventually(named, most_s=60, every_s=0.3)
    eventually(
        lambda: fresh.sql("SELECT count(*) FROM jobs WHERE state <> 'SUCCEEDED'") == [(0,)],
        most_s=60,
    )
