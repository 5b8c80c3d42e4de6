"""The frames of an engine's log: cut anywhere, and with the newlines that old engines leave out."""

import random

import pytest

from hodei_worker.containers.frames import MOST_FRAME, PIECE_BYTES, BadLog, Frames, Lines, Message

TIMES = [b"2026-01-31T12:00:00.%09dZ" % n for n in range(100)]


def framed(*messages: Message) -> bytes:
    return b"".join(
        bytes([stream, 0, 0, 0]) + (len(time) + 1 + len(data)).to_bytes(4, "big")
        + time + b" " + data
        for stream, time, data in messages
    )  # fmt: skip


def pieces(line: bytes, time: bytes, *, keeps_newline: bool) -> list[Message]:
    """How the log driver cuts a line of one stream; one without a newline is the last."""
    text, newline, _ = line.partition(b"\n")
    parts = [text[at : at + PIECE_BYTES] for at in range(0, len(text), PIECE_BYTES)] or [b""]
    if newline and len(parts) > 1 and len(parts[-1]) == PIECE_BYTES:
        parts.append(b"")
    if newline and (len(parts) == 1 or keeps_newline):
        parts[-1] += b"\n"
    return [Message(1, time, part) for part in parts]


def mended(messages: list[Message], *, old_engine: bool) -> bytes:
    lines = Lines(old_engine=old_engine)
    found = [one for message in messages for one in lines.mend(message)]
    return b"".join(one.data for one in [*found, *lines.end()])


@pytest.mark.parametrize("seed", range(20))
def test_a_frame_may_be_cut_anywhere(seed: int) -> None:
    dice = random.Random(seed)
    sent = [
        Message(dice.choice((1, 2)), TIMES[n], dice.randbytes(dice.choice((0, 1, 200, 16_384))))
        for n in range(40)
    ]
    data, frames, found = framed(*sent), Frames(), []
    while data:
        cut = dice.randint(1, 5000)
        found += list(frames.feed(data[:cut]))
        data = data[cut:]
    assert found == sent


@pytest.mark.parametrize(
    "data",
    [
        b"\x03\0\0\0\0\0\0\x20" + b"x" * 32,
        b"\x01\0\0\0" + (MOST_FRAME + 1).to_bytes(4, "big"),
        b"\x01\0\0\0\0\0\0\x05hello",
        b"\x01\0\0\0\0\0\0\x28" + b"x" * 40,
        b"HTTP/1.1 200 OK\r\n\r\n",
    ],
)
def test_what_is_no_log_is_refused(data: bytes) -> None:
    with pytest.raises(BadLog):
        list(Frames().feed(data))


@pytest.mark.parametrize("old_engine", [True, False])
@pytest.mark.parametrize("seed", range(20))
def test_newlines_are_where_they_were(seed: int, old_engine: bool) -> None:
    """Of every log but one whose last line is long and has no newline."""
    dice = random.Random(seed)
    sizes = (0, 1, 80, 16_383, 16_384, 16_385, 32_768, 40_000)
    lines = [b"x" * dice.choice(sizes) + b"\n" for _ in range(12)]
    lines += dice.choice(([], [b"end"], [b"y" * PIECE_BYTES]))
    sent = []
    for line, time in zip(lines, TIMES, strict=False):
        sent += pieces(line, time, keeps_newline=not old_engine)
    assert mended(sent, old_engine=old_engine) == b"".join(lines)


def test_a_long_last_line_of_an_old_engine_counts_as_ended() -> None:
    unfinished = pieces(b"x" * 20_000, TIMES[0], keeps_newline=False)
    assert mended(unfinished, old_engine=True) == b"x" * 20_000 + b"\n"
    assert mended(unfinished, old_engine=False) == b"x" * 20_000
