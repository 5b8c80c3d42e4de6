"""When a worker is asked for the offers that wait there too long."""

import asyncio
import uuid

from hodei.fleet.ahead import RECALL_AFTER_S
from hodei.fleet.messages import Recall
from hodei.fleet.presence import Presence
from hodei.fleet.stream import UNTAKEN_S, WorkerStream
from hodei.store.claims import Offer
from tests.virtual_clock import run


def offer(lease: int) -> Offer:
    return Offer(lease, uuid.uuid4(), uuid.uuid4(), 1, "", "", "{}")


async def behind_a_busy_slot(presence: Presence) -> WorkerStream:
    """A worker of one slot, which is busy; offers 2 and 3 have waited too long."""
    stream = WorkerStream(uuid.uuid4(), 1, 1, {}, draining=False, can_recall=True)
    presence.add(stream)
    for lease in (1, 2, 3):
        stream.offer(offer(lease))
    stream.offered_at.pop(1)
    await asyncio.sleep(RECALL_AFTER_S * 1.1)
    await stream.wait_for_messages()
    return stream


def test_offers_that_wait_too_long_are_asked_back() -> None:
    async def story() -> None:
        presence = Presence()
        stream = await behind_a_busy_slot(presence)
        presence.recall_late_offers()
        assert await stream.wait_for_messages() == [Recall([2, 3])]
        assert stream.room == 0, "no newer job comes before they are back in the queue"

    run(story())


def test_what_a_claim_brings_meanwhile_is_asked_back_with_them() -> None:
    async def story() -> None:
        presence = Presence()
        stream = await behind_a_busy_slot(presence)
        newer = offer(4)
        with presence.claim_under_way():
            presence.recall_late_offers()
            stream.offer(newer)
        assert await stream.wait_for_messages() == [newer, Recall([2, 3, 4])]

    run(story())


def test_a_worker_that_gives_back_what_nobody_asked_for_rests() -> None:
    """Longer each time, until a job runs there."""

    async def story() -> None:
        stream = WorkerStream(uuid.uuid4(), 1, 2, {}, draining=False, can_recall=True)
        for rests_s in (1.0, 2.0, 4.0):
            stream.offer(offer(1))
            stream.take_back([1])
            await asyncio.sleep(rests_s - 0.1)
            assert stream.room == 0
            await asyncio.sleep(0.2)
            assert stream.room == 2
        stream.offer(offer(2))
        stream.on_accept(2)
        stream.forget_lease(2)
        stream.take_back([3])
        await asyncio.sleep(1.1)
        assert stream.room == 2

    run(story())


def test_a_worker_that_takes_nothing_of_what_it_has_gets_no_more() -> None:
    async def story() -> None:
        stream = WorkerStream(uuid.uuid4(), 1, 2, {}, draining=False, can_recall=True)
        stream.offer(offer(1))
        assert stream.room == 1
        await asyncio.sleep(UNTAKEN_S + 0.1)
        stream.recall_late_offers()
        assert stream.room == 0

    run(story())


def test_what_was_asked_back_may_come_back() -> None:
    async def story() -> None:
        stream = await behind_a_busy_slot(Presence())
        stream.recall_late_offers()
        stream.take_back([2, 3])
        stream.forget_lease(1)
        assert stream.room == 1

    run(story())
