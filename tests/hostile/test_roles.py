"""Odd requests with a key of each role: a call that a role may not make is refused whatever it asks,
and nothing of it is done; one that it may make ends with words. Floods and the like are in
test_suite_by_role."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf.message_factory import GetMessageClass

from hodei.access.roles import LEAST, OF_KEYS, Role, may
from hodei.protocol import hodei_pb2 as pb
from tests.hostile.conftest import attack, through_another_address, watched
from tests.hostile.keyed import Keyed
from tests.hostile.odd_requests import OddRequests

EACH = 12
"""Requests of each method."""

OF_TOKENS = {"hodei.v1.WorkerService/Register": {grpc.StatusCode.UNAUTHENTICATED}}
"""What a token that is not valid is answered; in all other calls these would be words about the key."""


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
    before = keyed.rows()
    found: dict[str, set[grpc.StatusCode]] = {}
    with grpc.insecure_channel(keyed.hodei.addresses[0]) as channel:
        for path, method in methods():
            reaches = may(role, LEAST[path])
            codes = found.setdefault(path, set())
            for _ in range(EACH):
                request = odd.fill(GetMessageClass(method.input_type)())
                raw = request.SerializeToString()
                codes.add(code_of(channel, path, method, raw, keyed.said(role)))
            if not reaches:
                assert codes == {grpc.StatusCode.PERMISSION_DENIED}, path
            assert not codes & {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN}, path
            assert grpc.StatusCode.UNAUTHENTICATED not in codes - OF_TOKENS.get(path, set()), path
    keyed.check_unchanged(role, before)


def test_a_flood_of_wrong_keys_is_slowed_for_its_own_address_alone(keyed: Keyed) -> None:
    address = keyed.hodei.addresses[0]
    wrong = keyed.keys[Role.ADMIN][:-8] + "AAAAAAAA"
    with (
        through_another_address(address) as other,
        watched(keyed.hodei, other, key=keyed.innocent) as seen,
        attack("get_status", address, 2000, 50, key=wrong) as counts,
    ):
        pass
    print(counts, seen.rss >> 20, max(seen.creates_s))
    assert counts.get("OK", 0) == 0
    assert counts["UNAUTHENTICATED"] <= 40  # ten a second
    assert counts["RESOURCE_EXHAUSTED"] >= 1900
    seen.check()
