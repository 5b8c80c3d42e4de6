"""The text of a key where somebody pasted it: it is found there, and shown nowhere. And a key that would
be of no use."""

from collections.abc import Iterator
from types import SimpleNamespace

import grpc
import pytest

from hodei.domain import api_key
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.end_to_end.test_api_keys import bearer, channel, new_key
from tests.running import Hodei, start


@pytest.fixture(scope="module")
def keyed(pg_server: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hodei]:
    running = start(pg_server, tmp_path_factory.mktemp("texts"), servers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HODEI_API_KEY", raising=False)
        patch.setenv("HODEI_API_KEY", new_key(running, "admin", "root"))
        yield running
    running.stack.stop()
    running.conn.close()


def test_a_key_is_revoked_by_itself_and_shown_nowhere(keyed: Hodei) -> None:
    """Also of a call of one's own, whose server finds the id in it."""
    one, other = (new_key(keyed, "viewer", f"pasted-{n}") for n in (1, 2))
    ended = keyed.ok("apikey", "revoke", one)
    assert ended.text == f"key {one.split('_')[2]} (pasted-1) is revoked\n"
    admin = bearer(new_key(keyed, "admin", "paster"))
    with channel(keyed) as calls:
        access = hodei_pb2_grpc.AccessServiceStub(calls)
        revoked = access.RevokeApiKey(pb.ApiKeyRef(key=other), metadata=admin)
        assert (revoked.name, revoked.state) == ("pasted-2", "REVOKED")
        made_up = api_key.make("viewer").text
        for call, request in (
            (access.RevokeApiKey, pb.ApiKeyRef(key=made_up)),
            (access.RevokeApiKey, pb.ApiKeyRef(key=f"x {made_up}")),
            (access.CreateApiKey, pb.CreateApiKeyRequest(name=made_up, role="viewer")),
        ):
            with pytest.raises(grpc.RpcError) as refused:
                call(request, metadata=admin)
            told = refused.value.details() or ""
            assert made_up.rpartition("_")[2][:20] not in told
            assert made_up.split("_")[2] in told


def test_a_key_that_would_be_of_no_use_is_not_made(keyed: Hodei) -> None:
    flags = ("--role", "registrar", "--name", "pods", "--project", "p1")
    for place in ((), ("--database-url", keyed.url)):
        ran = keyed.run("apikey", "create", *flags, *place)
        assert (ran.code, ran.out) == (125, b"")
        assert ran.err.startswith("Error: project: expected none for the role registrar, got p1")
