"""Logs as JSON: the same bytes whatever they are, and wherever chunks end."""

import base64
import random
from collections import defaultdict
from typing import Any

import pytest

from hodei.cli.log_json import log_chunks
from hodei.protocol import hodei_pb2 as pb
from hodei.shapes.job import LogChunk

Chunk = pb.ReadLogsResponse.Chunk


def chunk(data: bytes, offset: int, stream: Any = 1, lease: int = 1) -> Any:
    return Chunk(stream=stream, attempt=lease, byte_offset=offset, data=data, lease=lease)


def bytes_of(one: LogChunk) -> bytes:
    assert (one.text is None) != (one.data_base64 is None)
    return base64.b64decode(one.data_base64 or "") if one.text is None else one.text.encode()


@pytest.mark.parametrize("seed", range(30))
def test_every_byte_comes_back_at_its_offset(seed: int) -> None:
    chance = random.Random(seed)
    pieces = [
        "é".encode(),
        "日本".encode(),
        "😀".encode(),
        b"x" * 9,
        b"\0\x1b[2J",
        "\u202e".encode(),
    ]
    if seed % 2:
        pieces += [b"\xff", b"\xc3", b"\xed\xa0\x80"]
    whole: dict[tuple[int, int], bytes] = defaultdict(bytes)
    chunks = []
    for lease in (1, 2):
        for _ in range(60):
            stream = chance.choice([1, 2])
            data = b"".join(chance.choices(pieces, k=3))[chance.randrange(2) :]
            cut = chance.randrange(1, len(data))
            for part in (data[:cut], data[cut:]):
                chunks.append(chunk(part, len(whole[lease, stream]), stream, lease))
                whole[lease, stream] += part
    again: dict[tuple[int, str], bytes] = defaultdict(bytes)
    for one in log_chunks("j", chunks):
        key = one.attempt, one.stream
        assert one.byte_offset == len(again[key])
        again[key] += bytes_of(one)
    assert again == {
        (lease, {1: "stdout", 2: "stderr"}[s]): data for (lease, s), data in whole.items()
    }


def test_a_character_across_chunks_is_one() -> None:
    data = "größe".encode()
    found = list(log_chunks("j", [chunk(data[:3], 0), chunk(b"other", 0, 2), chunk(data[3:], 3)]))
    assert [(one.byte_offset, one.text) for one in found] == [
        (0, "gr"),
        (0, "other"),
        (2, "öße"),
    ]


def test_half_a_character_at_the_end_or_before_a_gap_is_kept() -> None:
    found = list(log_chunks("j", [chunk(b"a\xc3", 0), chunk(b"b\xe2\x82", 100)]))
    assert [(one.byte_offset, bytes_of(one)) for one in found] == [
        (0, b"a"),
        (1, b"\xc3"),
        (100, b"b"),
        (101, b"\xe2\x82"),
    ]
