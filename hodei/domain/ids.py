"""Ids that clients make themselves, so that a call repeated after a lost reply means the same
job."""

import secrets
import threading
import time
import uuid

FREE_BITS = 74
"""Of version 7, beside 48 bits of milliseconds, four of the version and two of the variant."""

_before = 0  # the last one made here, without version and variant
_one_at_a_time = threading.Lock()


def uuid7() -> uuid.UUID:
    """RFC 9562, version 7: milliseconds, then random bits; near in time is near in the index.

    Those of one process increase, also within a millisecond and when its clock goes back: the ids
    of a list of jobs are in its order. Then the random part counts up by a random step (method 2),
    so that none tells the next one.
    """
    global _before  # noqa: PLW0603  the order is the process's
    fresh = time.time_ns() // 1_000_000 << FREE_BITS | secrets.randbits(FREE_BITS - 1)
    with _one_at_a_time:
        _before = (
            fresh
            if fresh >> FREE_BITS > _before >> FREE_BITS
            else _before + 1 + secrets.randbits(32)
        )
        return _of(_before)


def following(first: uuid.UUID, number: int) -> uuid.UUID:
    """The id `number` places after one of version 7: whoever knows the first knows all of a
    list."""
    bits = first.int
    free = bits >> 80 << FREE_BITS | (bits >> 64 & 0xFFF) << 62 | bits & (1 << 62) - 1
    return _of(free + number)


def _of(number: int) -> uuid.UUID:
    """Milliseconds and free bits, with version and variant put between them."""
    high, middle, low = number >> FREE_BITS, number >> 62 & 0xFFF, number & (1 << 62) - 1
    return uuid.UUID(int=(high & (1 << 48) - 1) << 80 | 0x7 << 76 | middle << 64 | 0x2 << 62 | low)
