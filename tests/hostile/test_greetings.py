"""Streams of workers that say no hello take no place of those that do, and long hellos and
heartbeats hold up nobody."""

import time
import uuid

import pytest

from hodei.protocol.bounds import MOST_HELD
from tests.eventually import eventually
from tests.hostile.conftest import Attacker, attack, through_another_address, watched
from tests.hostile.worker import HostileWorker
from tests.running import Hodei

CONNECT = "/hodei.v1.WorkerService/Connect"


def test_streams_without_a_hello_leave_the_places_of_workers(one: Hodei) -> None:
    """From two addresses, each with as many as workers may have in all; each hello stops before its
    end."""
    with (
        through_another_address(one.addresses[0]) as second,
        through_another_address(one.addresses[0], "127.0.0.3") as third,
        attack("stall", one.addresses[0], 2000, 4, CONNECT, 100) as counts,
        attack("stall", second, 2000, 4, CONNECT, 100),
    ):
        assert counts["open"] == 4
        assert counts["over"] >= 1000, "an address may have 400 of them"
        begun = time.monotonic()
        with HostileWorker(third, one.token()) as worker:
            welcome = eventually(lambda: worker.frames or worker.ended.is_set())
            assert welcome is not True, f"{worker.status}: {worker.words}"
            assert worker.frames[0].HasField("welcome")
        assert time.monotonic() - begun < 8.0


def test_a_hello_that_does_not_come_whole_is_refused_in_time(one: Hodei) -> None:
    """Its turn is another stream's then, also of the same address."""
    with attack("stall", one.addresses[0], 8, 8, CONNECT, 100):
        begun = time.monotonic()
        with HostileWorker(one.addresses[0], one.token()) as worker:
            assert eventually(lambda: worker.frames), worker.words
        assert time.monotonic() - begun < 6.0


@pytest.mark.parametrize(
    ("workers", "what"), [(0, "hellos"), (1, "hellos"), (1, "heartbeats"), (16, "heartbeats")]
)
def test_long_lists_of_leases_hold_up_nobody(
    workers: int, what: str, one: Hodei, attacker: Attacker
) -> None:
    """From whoever has credentials, and hellos from whoever has none."""
    registered = [HostileWorker(one.addresses[0], one.token()) for _ in range(workers)]
    credentials = [f"{worker.id}:{worker.secret.hex()}" for worker in registered]
    said = ",".join(credentials) or f"{uuid.uuid4()}:{'00' * 32}"
    with watched(one) as seen:
        arguments = (MOST_HELD, said, what)
        counts = attacker("list_leases", one.addresses[0], 8, *arguments)
    print(counts, seen.rss >> 20, max(seen.creates_s))
    assert counts.get("welcomes", 0) >= workers
    assert workers or counts["refused"]
    seen.check()
