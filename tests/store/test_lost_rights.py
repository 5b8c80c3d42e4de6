"""Rights that are taken from a server's role while it runs: it says so, goes on with what it can,
and recovers by itself when they are given back."""

import json
import time
from pathlib import Path

import grpc
import pytest

from hodei.domain.timing import ACCEPT_WITHIN_S, HEARTBEAT_S
from hodei.local.stack import Stack, mint_token
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.eventually import eventually
from tests.store.conftest import Roles

ENQUEUE = "SELECT hodei.hodei_enqueue(jsonb_build_object('command', %s::text, 'on_lost', 'fail'))"

LASTS_S = 10.0

MOST_LINES = 20
"""Of the log in LASTS_S: a line for each loop that met it, and not one for each of its turns."""

RIGHTS = [
    ("UPDATE", "jobs"),
    ("SELECT", "leases"),
    ("UPDATE", "workers"),
    ("INSERT", "domain_events"),
    ("INSERT", "job_logs"),
    ("USAGE", "SEQUENCE hodei_lease_seq"),
    ("USAGE", "SCHEMA hodei"),
]


@pytest.mark.parametrize(("right", "what"), RIGHTS, ids=[" ON ".join(one) for one in RIGHTS])
def test_a_right_that_is_lost_for_a_while(
    right: str, what: str, roles: Roles, tmp_path: Path
) -> None:
    with Stack(tmp_path / "logs") as stack:
        address = stack.server("server", roles.url("server"))
        token = mint_token(roles.url("owner"))
        stack.worker("worker", address, tmp_path / "w", token, "--slots", "4")
        log = tmp_path / "logs/server.log"
        commands = ["sleep 1; echo x", "for n in $(seq 40); do echo $n; sleep 0.2; done"]
        jobs = [roles.owner.execute(ENQUEUE, [command]).fetchone() for command in commands]
        running = b"SELECT count(*) FROM hodei.jobs WHERE state = 'RUNNING'"
        eventually(lambda: roles.admin.execute(running).fetchone() == (2,))
        mark = len(log.read_text())
        roles.owner.execute(f"REVOKE {right} ON {what} FROM {roles.name('server')}".encode())
        jobs += [roles.owner.execute(ENQUEUE, ["true"]).fetchone() for _ in range(3)]
        over = time.monotonic() + LASTS_S
        with grpc.insecure_channel(address) as channel:
            calls = hodei_pb2_grpc.JobServiceStub(channel)
            while time.monotonic() < over:
                try:
                    calls.ListJobs(pb.ListJobsRequest(limit=5), timeout=10)
                except grpc.RpcError as error:
                    assert error.code() is grpc.StatusCode.UNAVAILABLE, error
                time.sleep(0.3)
        said = [line for line in log.read_text()[mark:].splitlines() if " INFO " not in line]
        assert len(said) <= MOST_LINES, "\n".join(said)
        assert any("lacks a right" in line or "may not see it" in line for line in said), said
        roles.owner.execute(f"GRANT {right} ON {what} TO {roles.name('server')}".encode())
        ended = (
            b"SELECT state, attempts, count(*) FROM hodei.jobs WHERE id = ANY (%s) GROUP BY 1, 2"
        )
        ids = [job[0] for job in jobs if job]
        eventually(
            lambda: roles.admin.execute(ended, [ids]).fetchall() == [("SUCCEEDED", 1, len(jobs))],
            60,
        )
        assert "Traceback" not in log.read_text()
        assert not any(part.ended for part in stack.parts)


def test_what_a_slot_has_taken_does_not_run_again_while_logs_cannot_be_stored(
    roles: Roles, tmp_path: Path
) -> None:
    """Accepts and results come behind the logs of other jobs, for longer than an offer lasts."""
    with Stack(tmp_path / "logs") as stack:
        address = stack.server("server", roles.url("server"))
        token = mint_token(roles.url("owner"))
        stack.worker("worker", address, tmp_path / "w", token, "--slots", "4")
        name = roles.name("server")
        roles.owner.execute(f"REVOKE INSERT ON job_logs FROM {name}".encode())
        commands = [f"echo started | tee -a {tmp_path}/starts; sleep {n}" for n in (0, 0, 3, 6)]
        for command in commands:
            roles.owner.execute(ENQUEUE, [command])
            time.sleep(0.5)
        time.sleep(2 * ACCEPT_WITHIN_S)
        roles.owner.execute(f"GRANT INSERT ON job_logs TO {name}".encode())
        # Its worker does not rest, as one that starts nothing does.
        roles.owner.execute(ENQUEUE, ["true"])
        ended = b"SELECT state, attempts, count(*) FROM hodei.jobs GROUP BY 1, 2"
        eventually(
            lambda: roles.admin.execute(ended).fetchall() == [("SUCCEEDED", 1, len(commands) + 1)],
            15,
        )
        assert (tmp_path / "starts").read_text().split() == ["started"] * len(commands)


def test_a_worker_whose_logs_cannot_be_stored_does_not_count_as_silent(
    roles: Roles, tmp_path: Path
) -> None:
    """It goes on to send them until no more is read, and its heartbeats come behind."""
    with Stack(tmp_path / "logs") as stack:
        address = stack.server("server", roles.url("server"))
        stack.worker("worker", address, tmp_path / "w", mint_token(roles.url("owner")))
        roles.owner.execute(f"REVOKE INSERT ON job_logs FROM {roles.name('server')}".encode())
        spec = {"command": "while sleep 0.05; do echo x; done"}
        roles.owner.execute("SELECT hodei.hodei_enqueue(%s::jsonb)", [json.dumps(spec)])
        silent = b"SELECT clock_timestamp() - last_heartbeat > %s FROM hodei.workers"
        over = time.monotonic() + 3 * HEARTBEAT_S
        while time.monotonic() < over:
            (is_silent,) = roles.admin.execute(silent, [f"{1.5 * HEARTBEAT_S}s"]).fetchone() or ()
            assert not is_silent
            time.sleep(0.2)
