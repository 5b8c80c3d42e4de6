"""Each column of the rows on which running programs rely is set by hand to the ends of its type: the
job of that row alone pays for it, and the service goes on."""

import json
import time
from collections.abc import Iterator
from types import SimpleNamespace

import psycopg
import pytest

from hodei.store.expected import expected
from tests.eventually import eventually
from tests.hostile.odd_values import odd_values
from tests.hostile.test_every_column import OURS, ROWS, check_commands, check_logs
from tests.running import Hodei, start

PROGRAMS = ("server-0", "odd", "other")
SINGLE = ("hodei_listening", "hodei_schema")
"""Tables of one row."""


@pytest.fixture(scope="module")
def system(pg_server: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hodei]:
    """A server and two workers, without our CHECKs; the jobs of `odd` name it."""
    folder = tmp_path_factory.mktemp("in-use")
    running = start(pg_server, folder, servers=0)
    admin = ("--loopback-role", "admin")
    running.addresses.append(running.stack.server("server-0", running.url, 0, *admin))
    for name, slots in (("odd", "150"), ("other", "2")):
        flags = ("--slots", slots, "--label", f"as={name}", "--name", name)
        running.stack.worker(name, running.addresses[0], folder / name, running.token(), *flags)
    for (drop,) in running.sql(OURS):
        running.sql(drop)
    yield running
    running.stack.stop()
    running.conn.close()


def test_no_table_is_forgotten() -> None:
    tables = {name for name in expected()["tables"] if not name.endswith("_default")}
    assert tables == {*ROWS, *SINGLE, "leases"}


def enqueue(hodei: Hodei, name: str, command: str) -> str:
    spec = json.dumps({"command": command, "labels": {"as": name}, "silence_timeout": 1000})
    ((job_id,),) = hodei.sql("SELECT hodei_enqueue(%s::jsonb)::text", spec)
    return str(job_id)


def marks(hodei: Hodei) -> dict[str, int]:
    return {name: len(hodei.log(name)) for name in PROGRAMS}


def put(hodei: Hodei, statement: str, *parameters: object) -> bool:
    """Whether PostgreSQL took it."""
    try:
        hodei.sql(statement, *parameters)
    except psycopg.Error:
        return False
    return True


def connected(hodei: Hodei, name: str) -> bool:
    return hodei.sql("SELECT connected FROM workers WHERE name = %s", name) == [(True,)]


def come_back(hodei: Hodei, name: str) -> None:
    """Ends the stream of a worker, and waits until it has another one."""
    ended = "UPDATE workers SET session = session + 1 WHERE name = %s RETURNING id::text, session"
    ((worker_id, session),) = hodei.sql(ended, name)
    hodei.sql("SELECT pg_notify('hodei_worker', %s)", worker_id)
    there = "SELECT connected AND session > %s FROM workers WHERE id = %s"
    eventually(lambda: hodei.sql(there, session, worker_id) == [(True,)], 30)


def test_an_odd_lease_costs_its_own_job(system: Hodei) -> None:
    """Also when its worker comes back, and is told where each of its logs goes on."""
    values, before = odd_values("leases"), marks(system)
    gate = system.folder / "gate"
    waits = f"echo up; until [ -e {gate} ]; do sleep 1; done; echo end"
    jobs = [enqueue(system, "odd", waits) for _ in values]
    for job_id in jobs:
        system.wrote(job_id, "up")
    same = set(jobs)
    for job_id, (column, value) in zip(jobs, values, strict=True):
        if put(system, f"UPDATE leases SET {column} = {value} WHERE job_id = %s", job_id):
            same.remove(job_id)
    come_back(system, "odd")
    system.all_succeeded([enqueue(system, "other", "true")])
    gate.touch()
    check_commands(system)
    alive = "SELECT id FROM jobs WHERE id = ANY (%s::uuid[]) AND completed_at IS NULL"
    eventually(lambda: system.sql(alive, jobs) == [], 60)
    asked = """
        SELECT id::text, state, attempts, logs_complete, reason FROM jobs WHERE id = ANY (%s::uuid[])
    """
    ended = system.sql(asked, jobs)
    whole = {job_id for job_id, state, _, complete, _ in ended if state == "SUCCEEDED" and complete}
    assert same <= whole
    assert len(whole) >= len(jobs) - 15, [one for one in ended if one[0] not in whole]
    assert {attempts for job_id, _, attempts, *_ in ended if job_id in same} == {1}
    assert system.sql("SELECT count(*) FROM leases") == [(0,)]
    check_logs(system, before, 20 + 2 * len(jobs))
    assert [part.name for part in system.stack.parts if part.ended] == []


@pytest.mark.parametrize("comes_back", [False, True], ids=["connected", "comes back"])
def test_a_log_is_whole_whose_cursor_a_hand_has_set_ahead(system: Hodei, comes_back: bool) -> None:
    """By so little that a worker might have sent as much, and by more than it ever sends."""
    gate = system.folder / f"gate-{comes_back}"
    waits = f"echo up; until [ -e {gate} ]; do sleep 0.1; done; yes | head -c 4000000"
    jobs = {enqueue(system, "odd", waits): ahead for ahead in (1_000_000, 1 << 61)}
    for job_id, ahead in jobs.items():
        system.wrote(job_id, "up")
        system.sql("UPDATE leases SET log_seq = %s WHERE job_id = %s", ahead, job_id)
    if comes_back:
        streams = system.log("odd").count("connected to")
        system.sql("UPDATE workers SET session = session + 1 WHERE name = 'odd'")
        eventually(lambda: system.log("odd").count("connected to") > streams)
    gate.touch()
    system.all_succeeded(list(jobs))
    asked = """
        SELECT attempts, logs_complete, log_bytes,
               (SELECT sum(octet_length(data)) FROM job_logs WHERE job_id = j.id)
        FROM jobs j WHERE j.id = ANY (%s::uuid[])
    """
    assert system.sql(asked, list(jobs)) == [(1, True, 4_000_003, 4_000_003)] * len(jobs)


def test_an_odd_row_of_a_connected_worker_costs_its_own_jobs(system: Hodei) -> None:
    before, count = marks(system), 0
    system.sql("CREATE TABLE kept AS SELECT * FROM workers WHERE name = 'odd'")
    for column, value in odd_values("workers"):
        if column in ("id", "revoked_at"):  # without its row, or revoked, it leaves
            continue
        set_it = f"UPDATE workers w SET {column} = {value} FROM kept k WHERE w.id = k.id"
        if put(system, set_it):
            count += 1
            system.all_succeeded([enqueue(system, "other", "true")])
            if "repeat" in value or "inf" in value:
                system.ok("worker", "list", "--all")
            system.sql(f"UPDATE workers w SET {column} = k.{column} FROM kept k WHERE w.id = k.id")
    eventually(lambda: connected(system, "odd"), 30)
    system.all_succeeded([enqueue(system, "odd", "true")])
    check_logs(system, before, 20 + 2 * count)
    assert [part.name for part in system.stack.parts if part.ended] == []


@pytest.mark.parametrize("table", SINGLE)
def test_odd_values_in_a_table_of_one_row_stop_nothing(table: str, system: Hodei) -> None:
    before, count = marks(system), 0
    system.sql(f"CREATE TABLE kept_{table} AS SELECT * FROM {table}")
    for column, value in odd_values(table):
        if put(system, f"UPDATE {table} SET {column} = {value}"):
            count += 1
            time.sleep(1.2 if table == "hodei_listening" else 0)  # a look of the sweeper
            system.all_succeeded([enqueue(system, "other", "true")])
            system.ok("status")
            system.ok("project", "list")
            system.sql(f"DELETE FROM {table}")
            system.sql(f"INSERT INTO {table} SELECT * FROM kept_{table}")
            if table == "hodei_listening":
                system.sql("UPDATE hodei_listening SET last_beat = now(), checked_at = now()")
    check_logs(system, before, 20 + 2 * count)


def test_without_the_row_of_the_schema_jobs_run_and_it_is_said_what_to_do(system: Hodei) -> None:
    before = marks(system)
    system.sql("DELETE FROM hodei_schema")
    words = "table hodei_schema is empty: run `hodei db apply`"
    eventually(lambda: words in system.log("server-0")[before["server-0"] :], 30)
    system.all_succeeded([enqueue(system, name, "true") for name in ("odd", "other")])
    assert words in system.run("project", "list").err
    system.ok("db", "apply", "--database-url", system.url)
    system.ok("project", "list")
    check_logs(system, before, 20)
