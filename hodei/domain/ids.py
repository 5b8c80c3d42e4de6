"""Ids that clients make themselves, so that a call that is repeated after a lost reply means the
same job."""

import secrets
import threading
import time
import uuid

FREE_BITS = 74
"""Bits of an id of version 7 beside 48 bits of milliseconds, four of the version and two of the
variant."""

ROOM = 1 << 24
"""Ids that may be counted behind each one (`following`) before those that are made later: more than
the specs of the largest file."""

_before = 0  # the last one made here, without version and variant
_one_at_a_time = threading.Lock()


def uuid7() -> uuid.UUID:
    """Makes an id (RFC 9562, version 7): milliseconds, then random bits. Ids that are near in time
    are near in an index.

    The ids of one process increase, also within a millisecond and when its clock goes back: the ids
    of a list of jobs are in its order. There the random part counts up by a random step (method 2),
    so that no id tells the next one.
    """
    global _before  # noqa: PLW0603  the order is the process's
    fresh = time.time_ns() // 1_000_000 << FREE_BITS | secrets.randbits(FREE_BITS - 1)
    with _one_at_a_time:
        _before = (
            fresh
            if fresh >> FREE_BITS > _before >> FREE_BITS
            else _before + ROOM + secrets.randbits(32)
        )
        return _of(_before)


def following(first: uuid.UUID, number: int) -> uuid.UUID:
    """Returns the id `number` places after an id of version 7: the first id of a list tells all of
    them."""
    bits = first.int
    free = bits >> 80 << FREE_BITS | (bits >> 64 & 0xFFF) << 62 | bits & (1 << 62) - 1
    return _of(free + number)


def _of(number: int) -> uuid.UUID:
    """Puts version and variant between the milliseconds and the free bits."""
    high, middle, low = number >> FREE_BITS, number >> 62 & 0xFFF, number & (1 << 62) - 1
    return uuid.UUID(int=(high & (1 << 48) - 1) << 80 | 0x7 << 76 | middle << 64 | 0x2 << 62 | low)
