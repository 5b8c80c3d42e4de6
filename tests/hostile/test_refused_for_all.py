"""What a hand has done to a table or a sequence, so that PostgreSQL refuses every row: no job is at
fault, and none is lost by it."""

import json
import time
from collections.abc import Iterator
from types import SimpleNamespace

import grpc
import pytest

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.eventually import eventually
from tests.running import Hodei, start
from verify.checker import violations


def submitted(working: Hodei, how_many: int = 8) -> list[str]:
    """The ids of jobs that write something."""
    lines = b'{"command": "echo x"}\n' * how_many
    return working.submit("--file", "-", stdin=lines).split()


def logs(system: Hodei) -> str:
    return system.log("server-0") + system.log("server-1")


@pytest.fixture(scope="module")
def running(
    pg_server: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hodei]:
    """Two servers, and a worker of four slots that both have."""
    folder = tmp_path_factory.mktemp("refused")
    one = start(pg_server, folder)
    servers = ",".join(one.addresses)
    one.stack.worker("worker", servers, folder / "w", one.token(), "--slots", "4")
    yield one
    one.stack.stop()
    one.conn.close()


@pytest.fixture
def system(running: Hodei) -> Hodei:
    """It has no rows of jobs: a column that must have a value can be added."""
    for table in ("job_logs", "job_queue", "jobs", "domain_events"):
        running.sql(f"DELETE FROM {table}")
    return running


@pytest.mark.parametrize(
    ("sequence", "value"),
    [
        ("hodei_lease_seq", (1 << 63) - 1),
        ("hodei_lease_seq", 1 << 62),
        ("domain_events_id_seq", (1 << 63) - 2),
    ],
)
def test_numbers_that_are_used_up_begin_anew(working: Hodei, sequence: str, value: int) -> None:
    working.all_succeeded(submitted(working))
    working.sql("SELECT setval(%s, %s)", sequence, value)
    working.all_succeeded(submitted(working))
    assert "is invalid" not in working.log("worker"), "a frame of a server"
    assert violations(working.conn) == []


def test_numbers_whose_sequence_was_dropped_begin_anew(working: Hodei) -> None:
    """With the default of the column that they are for: else no event could be written, and no
    result kept."""
    gate = working.folder / "gate"
    command = f"until [ -e {gate} ]; do sleep 0.1; done"
    running = working.submit("--on-lost", "fail", "--command", command)
    working.until(running, "RUNNING")
    working.sql("DROP SEQUENCE domain_events_id_seq CASCADE")
    gate.touch()
    assert working.finish(running)["state"] == "SUCCEEDED"
    working.all_succeeded(submitted(working))
    assert "cannot be stored" not in logs(working)
    assert violations(working.conn) == []


@pytest.mark.parametrize(
    ("done", "undone"),
    [
        (
            "CREATE RULE theirs AS ON INSERT TO job_logs DO INSTEAD NOTHING",
            "DROP RULE theirs ON job_logs",
        ),
        (
            "CREATE RULE theirs AS ON UPDATE TO leases DO INSTEAD NOTHING",
            "DROP RULE theirs ON leases",
        ),
        (
            "ALTER TABLE leases ADD COLUMN theirs integer NOT NULL",
            "ALTER TABLE leases DROP COLUMN theirs",
        ),
        (
            "ALTER TABLE job_logs ADD COLUMN theirs integer NOT NULL",
            "ALTER TABLE job_logs DROP COLUMN theirs",
        ),
    ],
)
def test_what_refuses_all_rows_costs_no_job(system: Hodei, done: str, undone: str) -> None:
    before = len(logs(system))
    system.sql(done)
    jobs = submitted(system)
    eventually(lambda: "may say why" in logs(system)[before:])
    time.sleep(5)
    said = logs(system)[before:]
    assert said.count("none is at fault") <= 8, "a line for each claim, not for each of its jobs"
    assert system.sql("SELECT message FROM jobs WHERE state = 'FAILED'") == []
    system.sql(undone)
    system.all_succeeded(jobs)
    assert all(part.process.poll() is None for part in system.stack.parts), "no process has ended"
    assert violations(system.conn) == []


def test_a_call_that_a_rule_of_somebody_refuses_is_no_fault_of_the_server(one: Hodei) -> None:
    one.sql("CREATE RULE theirs AS ON INSERT TO domain_events DO INSTEAD NOTHING")
    ((worker_id,),) = one.sql("INSERT INTO workers (id) VALUES (gen_random_uuid()) RETURNING id")
    ran = one.run("worker", "drain", str(worker_id))
    assert ran.code != 0
    assert "refuses all such calls" in ran.err
    assert "may say why" in ran.err
    assert "Traceback" not in one.log("server-0")


def test_a_partition_that_is_no_day_ends_no_server(working: Hodei) -> None:
    """Its maintenance is made when a server starts. A loop that dies ten times in a minute would end
    the server."""
    working.sql(
        "CREATE TABLE job_logs_20011301 PARTITION OF job_logs"
        " FOR VALUES FROM ('2001-01-01') TO ('2001-02-01')"
    )
    working.sql("CREATE TABLE job_logs_20010101 (a integer)")
    working.stack.server("another", working.url)
    time.sleep(3)
    assert "Traceback" not in working.log("another")
    working.all_succeeded(submitted(working))


REFUSALS = [
    (
        "ALTER TABLE job_queue ADD CONSTRAINT theirs CHECK (priority > 5)",
        "ALTER TABLE job_queue DROP CONSTRAINT theirs",
        "INVALID_ARGUMENT",
        "(constraint theirs of table job_queue is not Hodei's)",
    ),
    (
        "ALTER TABLE domain_events ADD CONSTRAINT theirs CHECK (actor = 'x')",
        "ALTER TABLE domain_events DROP CONSTRAINT theirs",
        "INVALID_ARGUMENT",
        " is not Hodei's)",
    ),
    (
        "CREATE UNIQUE INDEX theirs ON jobs ((1))",
        "DROP INDEX theirs",
        "INVALID_ARGUMENT",
        "(constraint theirs of table jobs is not Hodei's)",
    ),
    (
        "ALTER TABLE job_queue ADD COLUMN theirs integer NOT NULL",
        "ALTER TABLE job_queue DROP COLUMN theirs",
        "UNAVAILABLE",
        'the database refuses all jobs (null value in column "theirs" of relation "job_queue"',
    ),
]


@pytest.mark.parametrize(("done", "undone", "code", "words"), REFUSALS)
@pytest.mark.parametrize("together", [False, True])
def test_a_create_that_somebody_refuses_says_who(
    system: Hodei, done: str, undone: str, code: str, words: str, together: bool
) -> None:
    if "UNIQUE" in done:
        system.all_succeeded([system.submit("--command", "true")])
    system.sql(done)
    spec = json.dumps({"command": "true", "env": {"KEY": "hidden"}})
    request = pb.CreateJobsRequest(specs=[spec, spec], all_or_nothing=together)
    with grpc.insecure_channel(system.addresses[0]) as channel:
        entries = hodei_pb2_grpc.JobServiceStub(channel).CreateJobs(request, timeout=30).entries
    system.sql(undone)
    assert [entry.error_code for entry in entries] == [code, code], entries
    assert all(words in entry.error for entry in entries), entries
    assert "hidden" not in str(entries) + system.log("server-0")
