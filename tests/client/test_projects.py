"""Projects as a program names them: of the jobs that it creates, and of those that it looks for."""

import asyncio
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import psycopg
import pytest

from hodei.client import (
    Duplicate,
    Forbidden,
    Invalid,
    Unavailable,
    Unsupported,
    enqueue,
    enqueue_many_async,
    new_id,
    verbs,
)
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.client.conftest import Make
from tests.conftest import Connection
from tests.running import Hodei

NEVER: dict[str, Any] = {"command": "true", "labels": {"never": "there"}}
"""Of a job that no worker here can take."""

NO_PROJECTS = r"^the server is of an older release, which has no projects$"

NO_NAMES = ["", "a b", "-a", "x" * 64, "\0", "\ud800", "é", "x" * (10 << 20)]


def test_jobs_are_created_in_a_project_and_found_by_it(hodei: Hodei, make: Make) -> None:
    client = make(hodei.addresses)
    mine, batch = f"p-{uuid.uuid4().hex[:8]}", new_id()
    spec = {**NEVER, "correlation_id": batch}
    one = client.submit(spec, project=mine)
    many = client.submit_many([spec] * 2, project=mine)
    other = client.submit(spec)
    assert [client.get(job).project for job in (one, other)] == [mine, "default"]
    cases = [(mine, [*many[::-1], one]), ("default", [other]), ("nobody", []), (None, 4)]
    for project, expected in cases:
        found = [job.job_id for job in client.list(project=project, correlation_id=batch)]
        assert (len(found) if expected == 4 else found) == expected, project
    again = client.submit({**spec, "id": one}, project=mine)
    with pytest.raises(Duplicate, match=f"^id: this id is taken, expected another one than {one}$"):
        client.submit({**spec, "id": one})
    assert again == one
    for job in (one, *many, other):
        client.cancel(job)


@pytest.mark.parametrize("name", [*NO_NAMES, 7, b"web", ["web"]], ids=lambda name: str(name)[:9])
def test_what_is_no_project_is_refused_before_anything_is_sent(make: Make, name: Any) -> None:
    client = make("127.0.0.1:1")
    for call in (
        lambda: client.submit(NEVER, project=name),
        lambda: client.submit_many([NEVER], project=name),
        lambda: client.list(project=name),
        lambda: enqueue(None, NEVER, project=name),
    ):
        with pytest.raises(Invalid, match=r"^project: expected (1 to 63 letters|text)") as caught:
            call()
        assert len(str(caught.value)) < 300


class WithoutProjects(hodei_pb2_grpc.JobServiceServicer):
    """A server of an older release: it ignores a project, and creates the job in its only one."""

    def __init__(self) -> None:
        self.created: list[str] = []

    def CreateJobs(self, request: pb.CreateJobsRequest, _context: Any) -> pb.CreateJobsResponse:
        self.created += request.specs
        return pb.CreateJobsResponse(entries=[pb.CreateJobsResponse.Entry(job_id=new_id())])


class AwayProjects(hodei_pb2_grpc.ProjectServiceServicer):
    """A server whose database is away."""

    def ListProjects(self, _request: Any, context: grpc.ServicerContext) -> None:
        context.abort(grpc.StatusCode.UNAVAILABLE, "the database is away")


@contextmanager
def serving(service: WithoutProjects, projects: AwayProjects | None = None) -> Iterator[str]:
    """Its address."""
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        hodei_pb2_grpc.add_JobServiceServicer_to_server(service, server)
        if projects:
            hodei_pb2_grpc.add_ProjectServiceServicer_to_server(projects, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}"
        server.stop(None).wait()


def test_a_server_without_projects_creates_nothing(hodei: Hodei, make: Make) -> None:
    """Nor where it is one of several: each try asks the server that it is made at."""
    old = WithoutProjects()
    with serving(old) as address:
        client = make(address)
        with pytest.raises(Unsupported, match=NO_PROJECTS):
            client.submit(NEVER, project="web")
        with pytest.raises(Unsupported, match=NO_PROJECTS):
            client.submit_many([NEVER], project="web")
        with pytest.raises(Unsupported, match=NO_PROJECTS):
            make(["127.0.0.1:1", address]).submit(NEVER, project="web")
        assert old.created == []
        client.submit(NEVER)
        assert len(old.created) == 1
        beside = make([hodei.addresses[0], address])
        job_id = beside.submit(NEVER, project="web")
        assert beside.cancel(job_id).project == "web"
        assert len(old.created) == 1


def test_nothing_may_be_stored_while_a_server_was_only_asked_for_its_projects(make: Make) -> None:
    service = WithoutProjects()
    with serving(service, AwayProjects()) as address:
        with pytest.raises(Unavailable) as caught:
            make(address, call_timeout=1.5).submit(NEVER, project="web")
        assert str(caught.value) == f"the database is away (tried {address} for 1.5 s)"
    assert service.created == []


def test_a_list_of_a_server_without_projects_is_refused() -> None:
    listing = verbs.list_jobs({"project": "web"}, None, 20)
    assert next(listing).request.filter.project == "web"
    with pytest.raises(Unsupported, match=NO_PROJECTS):
        listing.send(pb.ListJobsResponse(jobs=[pb.Job(name="of all")], filtered=True))


def test_jobs_of_a_transaction_are_created_in_a_project(db: Connection, database_url: str) -> None:
    role = db.execute("SELECT session_user").fetchall()[0][0]
    refused = f'^project: expected one that is granted to role "{role}" '
    with pytest.raises(Forbidden, match=refused + r'\(default\), got "shop"$'):
        enqueue(db, NEVER, project="shop")
    assert enqueue(db, NEVER, project="default")
    for project in ("shop", "web"):
        db.execute("INSERT INTO project_grants (role, project) VALUES (%s, %s)", [role, project])
    with pytest.raises(Invalid, match=f'^project: role "{role}" is granted several, shop, web'):
        enqueue(db, NEVER)
    one = enqueue(db, NEVER, project="web", schema="public")

    async def run() -> list[str]:
        async with await psycopg.AsyncConnection.connect(database_url) as conn:
            with pytest.raises(Forbidden, match=refused):
                await enqueue_many_async(conn, [NEVER], project="default")
            await conn.rollback()
            return await enqueue_many_async(conn, [NEVER] * 2, project="shop")

    shop = asyncio.run(run())
    found = "SELECT id::text, project FROM jobs WHERE project <> 'default' ORDER BY created_at"
    expected = [(one, "web"), *[(job_id, "shop") for job_id in shop]]
    assert db.execute(found).fetchall() == expected
