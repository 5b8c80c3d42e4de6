"""A key is revoked while its holder floods the server, holds streams, and has calls that are not
over: all of it ends, and nothing more is done for it."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from hodei.access.roles import Role, may
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.eventually import eventually
from tests.hostile import raw_http2
from tests.hostile.conftest import Attacker, through_another_address, watched
from tests.hostile.keyed import LATER, Keyed

IN_FORCE_S = 5.0

SPEC = json.dumps({"command": "true", "run_at": LATER})
CREATE = pb.CreateJobsRequest(specs=[SPEC])

Said = list[tuple[str, str]]


def revoke(keyed: Keyed, *roles: Role) -> None:
    with grpc.insecure_channel(keyed.address) as channel:
        access = hodei_pb2_grpc.AccessServiceStub(channel)
        for role in roles:
            request = pb.ApiKeyRef(key=str(role))
            access.RevokeApiKey(request, metadata=keyed.said(Role.ADMIN), timeout=10)


@contextmanager
def followers(keyed: Keyed, roles: list[Role]) -> Iterator[dict[Role, list[Any]]]:
    """Logs that are followed and ends that are waited for, ten calls of each."""
    with grpc.insecure_channel(keyed.address) as channel:
        jobs = hodei_pb2_grpc.JobServiceStub(channel)
        follow = pb.ReadLogsRequest(job_id=keyed.job_ids[0], follow=True)
        wait = pb.WaitJobsRequest(job_ids=keyed.job_ids)
        held: dict[Role, list[Any]] = {}
        for role in roles:
            said = keyed.said(role)
            held[role] = [jobs.ReadLogs(follow, metadata=said) for _ in range(10)]
            held[role] += [jobs.WaitJobs(wait, metadata=said) for _ in range(10)]
        for call in (call for calls in held.values() for call in calls[10:]):
            next(call)
        yield held


@pytest.mark.parametrize("path", ["JobService/CreateJobs", "FleetService/GetStatus"])
def test_keys_that_are_revoked_in_the_middle_of_their_floods(
    keyed: Keyed, attacker: Attacker, path: str
) -> None:
    least = Role.SUBMITTER if path.endswith("CreateJobs") else Role.VIEWER
    roles = [role for role in (Role.VIEWER, Role.SUBMITTER, Role.OPERATOR) if may(role, least)]
    request = CREATE.SerializeToString().hex() if least is Role.SUBMITTER else ""
    keys = ",".join(keyed.keys[role] for role in roles)
    with (
        followers(keyed, [*roles, Role.ADMIN]) as held,
        through_another_address(keyed.address) as other,
        watched(keyed.hodei, other, key=keyed.innocent) as seen,
    ):
        attacker.begin("until_refused", keyed.address, f"/hodei.v1.{path}", request, keys, 20)
        attacker.counts()
        revoke(keyed, *roles)
        revoked = time.time()
        counts = attacker.counts()
        print(counts, counts["at"] - revoked)
        assert counts["OK"] >= 200
        assert counts["told"] == 4 * len(roles)
        assert counts["at"] - revoked < IN_FORCE_S
        for role in roles:
            eventually(lambda: not any(call.is_active() for call in held[role]))  # noqa: B023
            assert {call.code() for call in held[role]} == {grpc.StatusCode.UNAUTHENTICATED}
            assert f"the API key {role}" in held[role][0].details()
        assert all(call.is_active() for call in held[Role.ADMIN])
    seen.check()
    ((made,),) = keyed.hodei.sql(
        "SELECT count(*) FROM jobs WHERE actor = ANY (%s)", [f"api:{role}" for role in roles]
    )
    creates = least is Role.SUBMITTER
    assert made - creates * counts["OK"] in range(creates * counts["told"] + 1), "those under way"
    keyed.check_well()


BODIES: dict[str, pb.CreateJobsRequest | pb.CancelJobsRequest | pb.ReadLogsRequest] = {
    "JobService/CreateJobs": CREATE,
    "JobService/CancelJobs": pb.CancelJobsRequest(),
    "JobService/ReadLogs": pb.ReadLogsRequest(follow=True),
}


def test_a_request_that_began_before_its_key_was_revoked_is_refused(keyed: Keyed) -> None:
    """Its caller has let it lie in the middle, and sends the rest when the key is revoked."""
    BODIES["JobService/CancelJobs"] = pb.CancelJobsRequest(job_ids=keyed.job_ids)
    before = keyed.rows()
    said = keyed.said(Role.SUBMITTER)[0][1]

    async def begin_and_finish() -> set[int]:
        connection = await raw_http2.Connection.open(keyed.address)
        keeping = asyncio.get_running_loop().create_task(connection.keep())
        bodies = [raw_http2.message(body.SerializeToString()) for body in BODIES.values()]
        for path, body in zip(BODIES, bodies, strict=True):
            connection.call(f"/hodei.v1.{path}", body[:3], ends=False, credential=said)
        await asyncio.sleep(0.5)
        assert connection.over == set()
        await asyncio.to_thread(revoke, keyed, Role.SUBMITTER)
        await asyncio.to_thread(eventually, lambda: code_of_status(keyed, Role.SUBMITTER) is NOT_IN)
        for stream, body in zip((1, 3, 5), bodies, strict=True):
            connection.finish(stream, body[3:])
        for _ in range(50):
            await asyncio.sleep(0.05)
            if len(connection.over) == len(bodies):
                break
        keeping.cancel()
        return connection.over

    assert asyncio.run(begin_and_finish()) == {1, 3, 5}
    changed = [least for least, rows in keyed.rows().items() if rows != before[least]]
    assert changed == [Role.ADMIN], "the row of the key, and nothing else"
    keyed.check_well()


NOT_IN = grpc.StatusCode.UNAUTHENTICATED


def code_of_status(keyed: Keyed, role: Role) -> grpc.StatusCode | None:
    with grpc.insecure_channel(keyed.address) as channel:
        try:
            fleet = hodei_pb2_grpc.FleetServiceStub(channel)
            fleet.GetStatus(pb.GetStatusRequest(), metadata=keyed.said(role), timeout=10)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
    return None
