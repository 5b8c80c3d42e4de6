"""A trigger of somebody else that does not come to its end, where no statement_timeout ends it."""

import json

import grpc
import pytest

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.eventually import eventually
from tests.running import Hodei

ENDLESS = """
CREATE SEQUENCE entered;
CREATE SEQUENCE entered_among_others;
CREATE FUNCTION theirs() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM nextval('entered');
    IF current_setting('statement_timeout') = '4s' THEN
        PERFORM nextval('entered_among_others');
    END IF;
    PERFORM pg_sleep(1000);
    RETURN NEW;
END $$;
CREATE TRIGGER theirs BEFORE {} FOR EACH ROW {} EXECUTE FUNCTION theirs()
"""

DEFERRED = ENDLESS.replace("CREATE TRIGGER theirs BEFORE", "CREATE CONSTRAINT TRIGGER theirs AFTER")
DEFERRED = DEFERRED.replace("FOR EACH", "DEFERRABLE INITIALLY DEFERRED FOR EACH")


AMONG = "entered_among_others"
"""Counts the statements that are no search: what others have said waits in them, too."""

PASSED_OVER_S = 60.0
"""A wait that is shorter than the time for which claims pass over a job that is found at fault."""


def specs(*names: str) -> pb.CreateJobsRequest:
    return pb.CreateJobsRequest(specs=[json.dumps({"command": "true", "name": n}) for n in names])


def entered(hodei: Hodei, how: str = "entered") -> int:
    """How often the trigger has kept a statement waiting, until its time-out."""
    ((times,),) = hodei.sql(f"SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM {how}")
    return int(times)


def logs(working: Hodei) -> str:
    return working.log("server-0") + working.log("server-1")


@pytest.mark.parametrize("trigger", [ENDLESS, DEFERRED], ids=["at once", "deferred"])
def test_a_claim_that_does_not_come_to_its_end_costs_one_job(working: Hodei, trigger: str) -> None:
    """The first of the queue."""
    working.sql(trigger.format("UPDATE ON jobs", "WHEN (NEW.name = 'slow')"))
    slow = working.submit("--name", "slow", "--priority", "5", "--command", "true")
    others = working.submit("--file", "-", stdin=b'{"command": "true"}\n' * 20).split()
    working.all_succeeded(others)
    assert entered(working, AMONG) < 3, "it is found in one search, and then passed over"
    words = f"jobs ['{slow}'] cannot be claimed: function theirs() of somebody else"
    eventually(lambda: words in logs(working))
    working.sql("DROP TRIGGER theirs ON jobs")
    assert working.job(slow)["state"] == "PENDING"


IN_SQL = """
CREATE FUNCTION {}(name text) RETURNS boolean LANGUAGE sql AS
$$ SELECT count(pg_sleep(1000)) > 0 $$
"""
NEVER = {
    "theirs": ("theirs(name)", "function theirs()"),
    "their own": ('"their own"(name)', "a constraint or an index"),
    "": ("pg_sleep(1000)::text = ''", "a constraint or an index"),
}
"""A name of a function in SQL (no trigger's), what a CHECK says, and what the log calls it. The last
one is of what PostgreSQL has itself."""


@pytest.mark.parametrize("name", NEVER)
def test_a_constraint_that_does_not_come_to_its_end_costs_one_job(
    working: Hodei, name: str
) -> None:
    never, called = NEVER[name]
    if name:
        working.sql(IN_SQL.format(f'"{name}"'))
    working.sql(
        f"ALTER TABLE jobs ADD CONSTRAINT theirs CHECK (lease IS NULL OR name <> 'slow' OR {never})"
    )
    slow = working.submit("--name", "slow", "--priority", "5", "--command", "true")
    others = working.submit("--file", "-", stdin=b'{"command": "true"}\n' * 20).split()
    working.all_succeeded(others)
    words = f"jobs ['{slow}'] cannot be claimed: {called} of somebody else"
    eventually(lambda: words in logs(working))
    working.sql("ALTER TABLE jobs DROP CONSTRAINT theirs")
    assert working.job(slow)["state"] == "PENDING"


@pytest.mark.parametrize("table", ["leases", "domain_events"])
def test_claims_that_do_not_come_to_their_end_are_told(working: Hodei, table: str) -> None:
    jobs = working.submit("--file", "-", stdin=b'{"command": "true"}\n' * 6).split()
    working.all_succeeded(jobs)
    when = "WHEN (NEW.event_type = 'JobAssigned')" if table == "domain_events" else ""
    working.sql(ENDLESS.format(f"INSERT ON {table}", when))
    jobs = working.submit("--file", "-", stdin=b'{"command": "true"}\n' * 20).split()
    words = "no job can be claimed: function theirs() of somebody else does not come to its end"
    eventually(lambda: words in logs(working))
    working.sql(f"DROP TRIGGER theirs ON {table}")
    ended = "SELECT count(*) FROM jobs WHERE state = 'SUCCEEDED'"
    eventually(lambda: working.sql(ended) == [(26,)], PASSED_OVER_S)
    assert working.sql("SELECT count(*) FROM jobs WHERE state = 'FAILED'") == [(0,)]


def test_a_create_that_does_not_come_to_its_end_costs_one_job(working: Hodei) -> None:
    working.sql(ENDLESS.format("INSERT ON jobs", "WHEN (NEW.name = 'slow')"))
    with grpc.insecure_channel(working.addresses[0]) as channel:
        stub = hodei_pb2_grpc.JobServiceStub(channel)
        entries = stub.CreateJobs(specs("slow", *["good"] * 99), timeout=60).entries
    assert [entry.error_code for entry in entries] == ["UNAVAILABLE", *[""] * 99]


def test_a_result_that_does_not_come_to_its_end_costs_one_job(working: Hodei) -> None:
    ends = "WHEN (NEW.name = 'slow' AND NEW.state = 'SUCCEEDED')"
    working.sql(ENDLESS.format("UPDATE ON jobs", ends))
    slow = working.submit("--name", "slow", "--command", "true")
    for _ in range(4):
        working.all_succeeded([working.submit("--command", "true") for _ in range(4)])
    assert entered(working, AMONG) < 3, (
        "results of others wait with it once, or twice if it is late"
    )
    working.sql("DROP TRIGGER theirs ON jobs")
    working.all_succeeded([slow])


@pytest.mark.parametrize("trigger", [ENDLESS, DEFERRED], ids=["at once", "deferred"])
def test_jobs_of_one_transaction_are_refused_for_the_one_that_does_not_come_to_its_end(
    one: Hodei, trigger: str
) -> None:
    one.sql(trigger.format("INSERT ON jobs", "WHEN (NEW.name = 'slow')"))
    request = specs(*["good"] * 99, "slow")
    request.all_or_nothing = True
    with grpc.insecure_channel(one.addresses[0]) as channel:
        entries = hodei_pb2_grpc.JobServiceStub(channel).CreateJobs(request, timeout=60).entries
    assert entered(one) <= 9, "all, all again, and 7 by halves, the last of it alone"
    assert [entry.error_code for entry in entries] == [*["ABORTED"] * 99, "UNAVAILABLE"], entries
    assert "cannot be stored now" in entries[-1].error
    assert one.sql("SELECT count(*) FROM jobs") == [(0,)]


def test_a_job_alone_that_does_not_come_to_its_end_is_refused_soon(working: Hodei) -> None:
    """Its create takes a claim along, and is tried once more without it, for half a second."""
    old = working.submit("--name", "slow", "--command", "true")
    working.all_succeeded([old])
    working.sql(ENDLESS.format("INSERT ON jobs", "WHEN (NEW.name = 'slow')"))
    for call, tries in (("submit", "--name", "slow", "--command", "true"), 2), (("retry", old), 1):
        before = entered(working)
        ran = working.run("job", *call)
        assert ran.code != 0
        assert "57014" in ran.err, ran.err
        assert entered(working) - before == tries, call
