"""Ids that clients make themselves, so that a call repeated after a lost reply means the same job."""

import secrets
import time
import uuid


def uuid7() -> uuid.UUID:
    """RFC 9562, version 7: 48 bits of milliseconds, the rest random; near in time is near in the index. Order never relies on it."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds & (1 << 48) - 1) << 80 | secrets.randbits(80)
    value = value & ~(0xF << 76) | 0x7 << 76
    return uuid.UUID(int=value & ~(0x3 << 62) | 0x2 << 62)
