"""Offers that are asked back go to the queue before newer jobs come to the worker: jobs of one
priority run in the order in which they were submitted."""

import asyncio
import uuid
from collections.abc import Callable

from hodei.fleet.ahead import RECALL_AFTER_S
from hodei.fleet.messages import Message, Recall
from hodei.fleet.stream import WorkerStream
from hodei.store.claims import Offer
from tests.virtual_clock import run


def offer(lease: int) -> Offer:
    return Offer(lease, uuid.uuid4(), uuid.uuid4(), 1, "", "", "{}")


async def recalled(then: Callable[[WorkerStream], None]) -> list[Message]:
    """What is sent to a worker of one slot that got offers 1 to 3 and has been asked for 2 and 3,
    after `then`."""
    stream = WorkerStream(uuid.uuid4(), 1, 1, {}, draining=False, can_recall=True)
    for lease in (1, 2, 3):
        stream.offer(offer(lease))
    stream.record_accept(1)
    await asyncio.sleep(RECALL_AFTER_S * 1.1)
    stream.recall_late_offers()
    assert (await stream.wait_for_messages())[-1] == Recall([2, 3])
    then(stream)
    return await stream.wait_for_messages()


def test_an_offer_whose_claim_was_under_way_is_asked_back_too() -> None:
    newer = offer(4)
    assert run(recalled(lambda stream: stream.offer(newer))) == [newer, Recall([4])]


def test_offers_stay_again_when_all_that_were_asked_back_are_answered() -> None:
    newer = offer(4)

    def answered(stream: WorkerStream) -> None:
        stream.record_accept(2)  # a slot took it before the recall came
        stream.forget_lease(3)
        stream.offer(newer)

    assert run(recalled(answered)) == [newer]
