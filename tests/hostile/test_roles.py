"""Attacks with a key of each role: a call that a role may not make is refused whatever it asks, and
nothing of it is done; one that it may make ends with words."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass

from hodei.access.roles import LEAST, OF_KEYS, Role, may
from hodei.protocol import hodei_pb2 as pb
from tests.hostile.conftest import attack, through_another_address, watched
from tests.hostile.odd_requests import OddRequests
from tests.running import Hodei

LATER = "2900-01-01T00:00:00Z"
EACH = 12
"""Requests of each method."""

LONG = {"ReadLogs", "WaitJobs"}
"""Calls that may stay open: their first answer is enough."""

ROWS = """
SELECT (SELECT md5(string_agg(j::text, ',' ORDER BY j.id)) FROM jobs j),
       (SELECT count(*) FROM job_queue),
       (SELECT md5(string_agg(w.id::text || w.draining || (w.revoked_at IS NULL), ',' ORDER BY w.id))
        FROM workers w),
       (SELECT count(*) FROM worker_bootstrap_tokens),
       (SELECT count(*) FROM worker_bootstrap_tokens WHERE revoked_at IS NOT NULL),
       (SELECT count(*) FROM api_keys),
       (SELECT count(*) FROM api_keys WHERE revoked_at IS NOT NULL),
       (SELECT count(*) FROM project_grants),
       (SELECT count(*) FROM secrets),
       (SELECT count(*) FROM provider_configs)
"""

NOT_INTERNAL = re.compile(r"by a fault of the server|Traceback")


@dataclass
class Keyed:
    """A server, one of its keys for each role, and ids of what is there."""

    hodei: Hodei
    keys: dict[Role, str]
    ids: list[str]

    def said(self, role: Role) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {self.keys[role]}")]


@pytest.fixture
def keyed(one: Hodei) -> Iterator[Keyed]:
    job_ids = [one.submit("--run-at", LATER, "--command", "true") for _ in range(5)]
    one.sql("INSERT INTO workers (id, name, state) VALUES (gen_random_uuid(), 'w', 'READY')")
    token = one.ok("token", "create").text.strip()
    keys = {
        role: one.ok(
            "apikey", "create", "--role", role, "--name", role, "--database-url", one.url
        ).text.strip()
        for role in reversed(OF_KEYS)
    }
    ((worker_id,),) = one.sql("SELECT id::text FROM workers")
    key_ids = [key_id for (key_id,) in one.sql("SELECT id FROM api_keys")]
    yield Keyed(one, keys, [*job_ids, worker_id, token, *key_ids])


def methods() -> Iterator[tuple[str, Any]]:
    """The methods of the contract but the worker's stream, which has tests of its own."""
    for service in pb.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            if not method.client_streaming:
                yield f"{service.full_name}/{method.name}", method


def code_of(
    channel: grpc.Channel, path: str, method: Any, raw: bytes, said: Any
) -> grpc.StatusCode:
    if method.server_streaming:
        call: Any = channel.unary_stream(f"/{path}", bytes)(raw, metadata=said, timeout=1)
        try:
            next(call)
        except StopIteration:
            pass
        except grpc.RpcError as error:
            code = error.code()
            return grpc.StatusCode.OK if code is grpc.StatusCode.DEADLINE_EXCEEDED else code
        call.cancel()
        return grpc.StatusCode.OK
    try:
        channel.unary_unary(f"/{path}", bytes)(raw, metadata=said, timeout=20)
    except grpc.RpcError as error:
        return error.code()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("role", OF_KEYS)
def test_odd_requests_to_each_method(keyed: Keyed, role: Role) -> None:
    odd = OddRequests(20261126 + OF_KEYS.index(role), keyed.ids)
    before = keyed.hodei.sql(ROWS)
    found: dict[str, set[grpc.StatusCode]] = {}
    may_change = False
    with grpc.insecure_channel(keyed.hodei.addresses[0]) as channel:
        for path, method in methods():
            reaches = may(role, LEAST[path])
            may_change |= reaches and LEAST[path] not in (Role.NONE, Role.VIEWER)
            codes = found.setdefault(path, set())
            for _ in range(EACH):
                request = odd.fill(GetMessageClass(method.input_type)())
                raw = request.SerializeToString()
                codes.add(code_of(channel, path, method, raw, keyed.said(role)))
            if not reaches:
                assert codes == {grpc.StatusCode.PERMISSION_DENIED}, path
            assert not codes & {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}, path
    assert not NOT_INTERNAL.search(keyed.hodei.log("server-0"))
    registers = "hodei.v1.WorkerService/Register"
    if not may_change and role is not Role.REGISTRAR:
        assert keyed.hodei.sql(ROWS) == before
        assert grpc.StatusCode.OK not in found[registers]
    for key in keyed.keys.values():
        assert key not in keyed.hodei.log("server-0")


@pytest.mark.parametrize(
    ("name", "path", "role", "arguments"),
    [
        ("create_large", "hodei.v1.JobService/CreateJobs", Role.VIEWER, (60, 20)),
        ("create_large", "hodei.v1.JobService/CreateJobs", Role.REGISTRAR, (60, 20)),
        ("get_status", "hodei.v1.FleetService/GetStatus", Role.REGISTRAR, (3000, 50)),
        ("list_jobs", "hodei.v1.JobService/ListJobs", Role.REGISTRAR, (500, 20)),
        ("large_questions", "hodei.v1.JobService/GetJob", Role.REGISTRAR, (200, 20)),
        ("get_status", "hodei.v1.FleetService/GetStatus", Role.VIEWER, (3000, 50)),
        ("large_questions", "hodei.v1.JobService/GetJob", Role.OPERATOR, (200, 20)),
        ("create_large", "hodei.v1.JobService/CreateJobs", Role.SUBMITTER, (60, 20)),
        ("create_large", "hodei.v1.JobService/CreateJobs", Role.ADMIN, (60, 20)),
    ],
)
def test_floods_of_each_role_take_the_server_from_nobody(
    keyed: Keyed, name: str, path: str, role: Role, arguments: tuple[int, ...]
) -> None:
    address = keyed.hodei.addresses[0]
    with (
        through_another_address(address) as other,
        watched(keyed.hodei, other, key=keyed.keys[Role.SUBMITTER]) as seen,
        attack(name, address, *arguments, key=keyed.keys[role]) as counts,
    ):
        pass
    print(counts, seen.rss >> 20, max(seen.creates_s))
    if may(role, LEAST[path]):
        assert "PERMISSION_DENIED" not in counts
    else:
        assert counts.keys() & {"PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "OK"} == {
            "PERMISSION_DENIED"
        }
    seen.check()


def test_a_flood_of_wrong_keys_is_slowed_for_its_own_address_alone(keyed: Keyed) -> None:
    address = keyed.hodei.addresses[0]
    wrong = keyed.keys[Role.ADMIN][:-8] + "AAAAAAAA"
    with (
        through_another_address(address) as other,
        watched(keyed.hodei, other, key=keyed.keys[Role.SUBMITTER]) as seen,
        attack("get_status", address, 2000, 50, key=wrong) as counts,
    ):
        pass
    print(counts, seen.rss >> 20, max(seen.creates_s))
    assert counts.get("OK", 0) == 0
    assert counts["UNAUTHENTICATED"] <= 40  # ten a second
    assert counts["RESOURCE_EXHAUSTED"] >= 1900
    seen.check()
