"""A server that refuses every worker for good, by a lie or as it is meant for others: it ends no
worker that has another server."""

import json
from contextlib import ExitStack

import grpc
import pytest

from hodei.local.stack import Stack
from hodei.rpc.worker_service import REVOKED
from tests.eventually import eventually
from tests.hostile.lying_server import LyingServer
from tests.running import Hodei

Trailer = tuple[tuple[str, str], ...]
REFUSALS: dict[str, tuple[grpc.StatusCode, Trailer]] = {
    "forbidden": (grpc.StatusCode.PERMISSION_DENIED, ()),
    "another protocol": (grpc.StatusCode.FAILED_PRECONDITION, ()),
    "no such service": (grpc.StatusCode.UNIMPLEMENTED, ()),
    "revoked": (grpc.StatusCode.UNAUTHENTICATED, REVOKED),
}


def end_the_stream(hodei: Hodei) -> None:
    """Whoever connects to a server that ends its stream asks the other one next."""
    hodei.sql("UPDATE workers SET session = session + 1")
    hodei.sql("SELECT pg_notify('hodei_worker', w.id::text) FROM workers w")


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_worker_asks_its_other_servers(kind: str, one: Hodei) -> None:
    code, trailer = REFUSALS[kind]
    with LyingServer([], refusal=code, trailer=trailer) as liar:
        addresses = f"{one.addresses[0]},{liar.address}"
        Stack.stop_part(one.stack.worker("first", one.addresses[0], one.folder / "w", one.token()))
        worker = one.stack.worker("worker", addresses, one.folder / "w", None)
        job_id = one.submit("--command", "sleep 60")
        one.until(job_id, "RUNNING")
        before = liar.refused
        end_the_stream(one)
        eventually(lambda: liar.refused > before)
        connected = "SELECT count(*) FROM workers WHERE connected AND session > 1"
        eventually(lambda: one.sql(connected) == [(1,)])
        assert not worker.ended
        assert one.job(job_id)["state"] == "RUNNING"
        (told, *_) = [line for line in worker.log.read_text().splitlines() if "refuses" in line]
    assert "asking the other servers" in told


@pytest.mark.parametrize("trailer", [REVOKED, ()], ids=["revoked", "unknown"])
def test_one_server_alone_gives_a_worker_no_other_identity(trailer: Trailer, one: Hodei) -> None:
    """It says that the worker was revoked, and would register it as another one."""
    state, refusal = one.folder / "w", grpc.StatusCode.UNAUTHENTICATED
    with LyingServer([], refusal=refusal, trailer=trailer) as liar:
        addresses = f"{one.addresses[0]},{liar.address}"
        Stack.stop_part(one.stack.worker("first", one.addresses[0], state, one.token()))
        kept = (state / "identity.json").read_bytes()
        worker = one.stack.worker("worker", addresses, state, one.token())
        job_id = one.submit("--command", "sleep 60")
        one.until(job_id, "RUNNING")
        before = len(liar.asked)
        end_the_stream(one)
        eventually(lambda: len(liar.asked) > before)
        connected = "SELECT count(*) FROM workers WHERE connected AND session > 1"
        eventually(lambda: one.sql(connected) == [(1,)])
    assert not worker.ended
    assert liar.taken == []
    assert (state / "identity.json").read_bytes() == kept
    assert one.job(job_id)["state"] == "RUNNING"
    assert "is revoked; asking the other servers" in worker.log.read_text()


def test_a_revoked_worker_comes_back_as_another_one_though_other_servers_are_away(
    one: Hodei,
) -> None:
    state = one.folder / "w"
    Stack.stop_part(one.stack.worker("first", one.addresses[0], state, one.token()))
    before = json.loads((state / "identity.json").read_bytes())["worker_id"]
    one.ok("worker", "revoke", before)
    with LyingServer([], refusal=grpc.StatusCode.PERMISSION_DENIED) as liar:
        addresses = f"{one.addresses[0]},{liar.address},127.0.0.1:1"
        worker = one.stack.worker("worker", addresses, state, one.token())
    after = json.loads((state / "identity.json").read_bytes())["worker_id"]
    assert after != before
    assert f"was revoked: this host is now worker {after}" in worker.log.read_text()


def test_a_worker_that_each_server_refuses_ends_in_words(one: Hodei) -> None:
    with ExitStack() as opened:
        liars = [
            opened.enter_context(LyingServer([], refusal=refusal))
            for refusal in (grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.UNIMPLEMENTED)
        ]
        closed = "127.0.0.1:1"
        addresses = ",".join([*(liar.address for liar in liars), closed])
        state = str(one.folder / "w")
        worker = one.stack.start(
            "refused", ["hodei_worker", "--server", addresses, "--state-dir", state]
        )
        eventually(lambda: worker.ended, 30)
    assert worker.process.returncode == 1
    assert worker.log.read_text().splitlines()[-1].endswith("no more lies")
    assert all(liar.refused for liar in liars)
