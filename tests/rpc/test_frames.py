"""How what is said to a worker is put into frames."""

import uuid

import pytest
from loguru import logger

from hodei.fleet.messages import (
    Cancel,
    Drain,
    GoAway,
    LogAck,
    Message,
    Recall,
    Refused,
    ResultAck,
    ServerHeartbeat,
)
from hodei.protocol import hodei_pb2 as pb
from hodei.rpc.to_worker import FRAME_BYTES, frames
from hodei.store.claims import Offer

WIRE_BYTES = 1 << 20
"""What a worker takes at most in one frame."""


def offer(lease: int, spec_bytes: int) -> Offer:
    spec = '{"command":"' + "x" * (spec_bytes - 14) + '"}'
    return Offer(lease, uuid.UUID(int=lease), uuid.UUID(int=7), 1, "c" * 100, "cli:ana", spec)


def leases(frame: pb.ServerFrame) -> list[int]:
    return [one.lease for one in frame.run]


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([], []),
        ([100], [1]),
        ([100] * 50, [50]),
        ([400_000, 400_000], [2]),
        ([400_000, 400_000, 400_000], [2, 1]),
        ([800_000, 100, 800_000], [2, 1]),
        ([880_000, 880_000], [1, 1]),
        ([FRAME_BYTES], [1]),  # the largest spec goes alone, and goes
        ([100, FRAME_BYTES, 100], [1, 1, 1]),
        ([300] * 3000, [1500, 1500]),  # what stands around a spec counts too
    ],
)
def test_offers_go_in_as_few_frames_as_their_size_allows(
    sizes: list[int], expected: list[int]
) -> None:
    messages = [offer(number, size) for number, size in enumerate(sizes, 1)]
    made = list(frames(messages))
    assert [len(frame.run) for frame in made] == expected
    assert [lease for frame in made for lease in leases(frame)] == [*range(1, len(sizes) + 1)]
    assert all(frame.ByteSize() < WIRE_BYTES for frame in made)


def test_small_messages_are_split_too() -> None:
    made = list(frames([LogAck(n, 1) for n in range(20_000)]))
    assert [len(frame.log_acks) for frame in made] == [9000, 9000, 2000]


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (LogAck(5, 9), pb.ServerFrame(log_acks=[pb.LogAck(lease=5, next_seq=9)])),
        (ResultAck([5, 6]), pb.ServerFrame(result_acks=[5, 6])),
        (Refused(5, "why"), pb.ServerFrame(refused=[pb.Refusal(lease=5, why="why")])),
        (
            Cancel(5, "CANCELLED", "by ana"),
            pb.ServerFrame(cancel=[pb.CancelJob(lease=5, reason="CANCELLED", message="by ana")]),
        ),
        (Recall([5, 6]), pb.ServerFrame(recall=[5, 6])),
        (Drain(on=True), pb.ServerFrame(drain=True)),
        (Drain(on=False), pb.ServerFrame(undrain=True)),
        (
            GoAway(1.5, "bye"),
            pb.ServerFrame(go_away=pb.GoAway(reconnect_after_s=1.5, why="bye")),
        ),
    ],
)
def test_each_message_has_its_place(message: Message, expected: pb.ServerFrame) -> None:
    assert list(frames([message])) == [expected]


def test_the_last_of_drain_and_undrain_holds() -> None:
    (frame,) = frames([Drain(on=True), Drain(on=False), ServerHeartbeat()])
    assert (frame.drain, frame.undrain) == (False, True)
    assert frame.beat_unix_us > 0


@pytest.mark.parametrize("spoilt", [-1, 1 << 64])
def test_a_number_that_cannot_be_sent_costs_its_message_only(spoilt: int) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}")
    cancel = Cancel(spoilt, "CANCELLED", "by ana")
    (frame,) = frames([offer(1, 100), LogAck(spoilt, 0), ResultAck([3]), cancel, LogAck(4, 1)])
    logger.remove(sink)
    said = [line.partition(" cannot be sent: ")[0] for line in lines]
    assert said == [f"LogAck of lease {spoilt}", f"Cancel of lease {spoilt}"]
    assert leases(frame) == [1]
    assert list(frame.result_acks) == [3]
    assert [ack.lease for ack in frame.log_acks] == [4]
