"""What is gathered for the stream, what does not wait for more, and how it is put into frames."""

import asyncio

import pytest

from hodei.protocol import hodei_pb2 as pb
from hodei_worker.outbox import FRAME_LOG_BYTES, HEAVY_BYTES, MAX_PER_KIND, Outbox
from tests import virtual_clock

CHUNK_BYTES = 65_536
WIRE_BYTES = 1 << 20
"""What a server takes at most in one frame."""


def chunk(size: int, seq: int = 0) -> pb.LogChunk:
    return pb.LogChunk(lease=1, seq=seq, stream=pb.STDOUT, data=b"x" * size)


def frames(outbox: Outbox) -> list[pb.WorkerFrame]:
    """All that goes without waiting."""
    found = []
    while not outbox.empty:
        found.append(outbox.take_frame())
    return found


# ── gathering, on a clock that jumps ──


def test_heavy_logs_end_the_gathering() -> None:
    async def story() -> tuple[float, float]:
        outbox, loop = Outbox(), asyncio.get_running_loop()
        async with asyncio.TaskGroup() as group:
            gathering = group.create_task(outbox.wait_for_more(60.0))
            await asyncio.sleep(1.0)
            outbox.add_log(chunk(10))
            await asyncio.sleep(1.0)
            assert not gathering.done()
            outbox.add_log(chunk(HEAVY_BYTES, 1))
        took = loop.time()
        outbox.take_frame()
        await outbox.wait_for_more(60.0)
        return took, loop.time() - took

    took, light = virtual_clock.run(story())
    assert took == pytest.approx(2.0)
    assert light == pytest.approx(60.0), "the frame has taken them: more may gather again"


def test_a_new_stream_begins_light() -> None:
    async def story() -> float:
        outbox, loop = Outbox(), asyncio.get_running_loop()
        outbox.add_log(chunk(HEAVY_BYTES + 1))
        outbox.clear()
        await outbox.wait_for_more(60.0)
        return loop.time()

    assert virtual_clock.run(story()) == pytest.approx(60.0)


# ── frames ──


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([], []),
        ([10], [1]),
        ([CHUNK_BYTES] * 12, [12]),
        ([CHUNK_BYTES] * 30, [13, 13, 4]),
        ([1] * 30_000, [19_513, 10_487]),  # what stands around the bytes counts too
    ],
)
def test_chunks_go_in_order_and_in_frames_that_a_server_takes(
    chunks: list[int], expected: list[int]
) -> None:
    outbox = Outbox()
    for seq, size in enumerate(chunks):
        outbox.add_log(chunk(size, seq))
    made = frames(outbox)
    assert [len(frame.logs) for frame in made] == expected
    assert [one.seq for frame in made for one in frame.logs] == [*range(len(chunks))]
    assert all(frame.ByteSize() < WIRE_BYTES for frame in made)


def test_a_result_goes_behind_the_last_of_its_chunks() -> None:
    """In the same frame at the earliest (rule 5); one whose log is short does not wait for others
    that came later."""
    outbox = Outbox()
    outbox.add_log(chunk(10))
    outbox.add_result(pb.Result(lease=1))
    for seq in range(2 * FRAME_LOG_BYTES // CHUNK_BYTES):
        outbox.add_log(chunk(CHUNK_BYTES, seq))
    outbox.add_result(pb.Result(lease=2))
    made = [[result.lease for result in frame.results] for frame in frames(outbox)]
    assert made == [[1], [2]]


@pytest.mark.parametrize("kind", ["results", "rejects", "stopping", "cancels_received", "started"])
def test_no_kind_has_more_than_its_share_of_a_frame(kind: str) -> None:
    outbox = Outbox()
    put = {
        "results": lambda n: outbox.add_result(pb.Result(lease=n, message="x" * 2000)),
        "rejects": lambda n: outbox.add_reject(pb.Reject(lease=n, reason="draining")),
        "stopping": lambda n: outbox.add_stopping(pb.Stopping(lease=n)),
        "cancels_received": outbox.add_cancel_received,
        "started": outbox.add_started,
    }[kind]
    for lease in range(2 * MAX_PER_KIND + 1):
        put(lease)
    made = frames(outbox)
    assert [len(getattr(frame, kind)) for frame in made] == [MAX_PER_KIND, MAX_PER_KIND, 1]
    assert all(frame.ByteSize() < WIRE_BYTES for frame in made)
    assert frames(outbox) == [], "each is said once"


@pytest.mark.parametrize(
    ("accept_after_s", "then", "accepts", "results"),
    [
        (0.0, "nothing", [1], []),
        (60.0, "nothing", [], []),  # it waits for the job's result
        (60.0, "result", [], [1]),  # which says both
        (60.0, "started", [1], []),  # servers take a start of accepted jobs only
    ],
)
def test_an_accept_waits_for_its_result(
    accept_after_s: float, then: str, accepts: list[int], results: list[int]
) -> None:
    outbox = Outbox(accept_after_s)
    outbox.add_accept(1)
    if then == "result":
        outbox.add_result(pb.Result(lease=1))
    elif then == "started":
        outbox.add_started(1)
    frame = outbox.take_frame()
    assert [accept.lease for accept in frame.accepts] == accepts
    assert [result.lease for result in frame.results] == results
    assert outbox.empty == (then != "nothing" or bool(accepts))


def test_many_due_accepts_go_in_several_frames() -> None:
    outbox = Outbox(0.0)
    for lease in range(MAX_PER_KIND + 5):
        outbox.add_accept(lease)
    assert [len(outbox.take_frame().accepts) for _ in range(3)] == [MAX_PER_KIND, 5, 0]
