"""The right to a function of ours that is taken from a server's role, or a function that is dropped,
one after the other under a running server and worker: nobody is at fault, and all go on by
themselves when it is back."""

import re
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import grpc
import psycopg
import pytest

from hodei.local.stack import Stack, mint_token
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from hodei.store import schema
from hodei.store.expected import expected
from tests.eventually import eventually
from tests.store.conftest import Roles

LASTS_S = 0.6

MOST_LINES = 6
"""Of the log while one function is lost: a line for each loop that met it, and two for each time
that a server has tried to make a dropped function again."""

SPEC = '{"command": "echo x", "timeout": 60, "env": {"A": "b"}}'

NEEDED = ("hodei_create_jobs", "hodei_create_unlocked", "hodei_token_fingerprint")
"""What the server cannot do without for one of its callers here."""

TOLD = re.compile(r"^UNAVAILABLE .*(lacks a right|missing, or this role may not see it)")


class Callers:
    """What people and new workers ask of a server; keeps the ids of the jobs that it has created."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._jobs = hodei_pb2_grpc.JobServiceStub(channel)
        self._fleet = hodei_pb2_grpc.FleetServiceStub(channel)
        self._workers = hodei_pb2_grpc.WorkerServiceStub(channel)
        self.created: list[str] = []
        self.held = ""  # a job that somebody's open transaction is creating, or has been

    def refusals(self) -> list[str]:
        """Asks each thing once; returns what was refused, but for the job that is held."""
        return [words for ask in (self._create, self._token) for words in ask()]

    def _create(self) -> Iterator[str]:
        for request in (
            pb.CreateJobsRequest(specs=[SPEC]),
            pb.CreateJobsRequest(specs=[SPEC, SPEC], all_or_nothing=True),
            pb.CreateJobsRequest(specs=[SPEC, self.held or SPEC]),
        ):
            try:
                entries = self._jobs.CreateJobs(request, timeout=20).entries
            except grpc.RpcError as error:
                yield f"{error.code().name} {error.details()}"
                continue
            self.created += [entry.job_id for entry in entries if not entry.error]
            for entry in entries:
                if entry.error and "cannot be stored now, try again" not in entry.error:
                    yield f"{entry.error_code} {entry.error}"

    def _token(self) -> Iterator[str]:
        try:
            token = self._fleet.CreateToken(pb.CreateTokenRequest(), timeout=20)
            self._fleet.ListTokens(pb.ListTokensRequest(), timeout=20)
            register = pb.RegisterRequest(
                token=token.token,
                worker_id=str(uuid.uuid4()),
                secret_sha256=b"x" * 32,
                name="new",
                version="1",
            )
            self._workers.Register(register, timeout=20)
        except grpc.RpcError as error:
            yield f"{error.code().name} {error.details()}"


def take(roles: Roles, how: str, function: str) -> None:
    if how == "drop":
        roles.owner.execute(f"DROP FUNCTION hodei.{function} CASCADE".encode())
        return
    for whom in ("PUBLIC", roles.name("server")):
        roles.owner.execute(f"REVOKE ALL ON FUNCTION hodei.{function} FROM {whom}".encode())


def give_back(roles: Roles, how: str, function: str) -> None:
    if how == "drop":
        schema.apply_sync(roles.url("owner"))
    roles.owner.execute(
        f"GRANT EXECUTE ON FUNCTION hodei.{function} TO {roles.name('server')}".encode()
    )


def while_lost(callers: Callers, roles: Roles, how: str, function: str) -> list[str]:
    """What is refused without a function, while somebody's transaction is creating a job."""
    refused = []
    callers.held = f'{{"id": "{uuid.uuid4()}", "command": "true"}}'
    with psycopg.connect(roles.url("owner")) as locker:
        locker.execute("SELECT hodei_enqueue(%s::jsonb)", [callers.held])
        take(roles, how, function)
        over = time.monotonic() + LASTS_S
        while time.monotonic() < over:
            refused += callers.refusals()
            time.sleep(0.1)
        locker.rollback()
    return refused


@pytest.mark.parametrize("how", ["revoke", "drop"])
def test_functions_that_are_lost_for_a_while(how: str, roles: Roles, tmp_path: Path) -> None:
    with Stack(tmp_path / "logs") as stack:
        address = stack.server("server", roles.url("server"))
        token = mint_token(roles.url("owner"))
        stack.worker("worker", address, tmp_path / "w", token, "--slots", "4")
        log = tmp_path / "logs/server.log"
        with grpc.insecure_channel(address) as channel:
            callers = Callers(channel)
            for function in expected()["functions"]:
                mark = len(log.read_text())
                refused = while_lost(callers, roles, how, function)
                assert all(TOLD.match(words) for words in refused), (function, set(refused))
                assert refused or not function.startswith(NEEDED), function
                give_back(roles, how, function)
                eventually(lambda: not callers.refusals(), 10)
                said = [
                    line for line in log.read_text()[mark:].splitlines() if " INFO " not in line
                ]
                assert len(said) <= MOST_LINES, "\n".join(said)
        ended = b"SELECT state, attempts, count(*) FROM hodei.jobs GROUP BY 1, 2"
        all_ended = [("SUCCEEDED", 1, len(set(callers.created)))]
        eventually(lambda: roles.admin.execute(ended).fetchall() == all_ended, 60)
        assert "Traceback" not in log.read_text()
        assert not any(part.ended for part in stack.parts)
