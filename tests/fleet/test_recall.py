"""When a worker is asked for the offers that wait there too long."""

import asyncio
import uuid

from hodei.fleet.ahead import RECALL_AFTER_S
from hodei.fleet.messages import Recall
from hodei.fleet.presence import Presence
from hodei.fleet.stream import WorkerStream
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
