"""Durations as people write them: 90s, 1h30m, 2d, 1.5h, 500ms; a number alone means seconds.

hodei_spec_number of schema.sql reads the same texts; tools/spec-sql writes the pattern there.
"""

import re
from decimal import Decimal

UNITS = {"w": "604800", "d": "86400", "h": "3600", "m": "60", "s": "1", "ms": "0.001"}
"""The seconds of each unit. A text has its units in this order, each at most once."""

_NUMBER = "([0-9]{1,9}(?:[.][0-9]{1,9})?)"
PATTERN = f"^(?:{_NUMBER}|{''.join(f'(?:{_NUMBER}{unit})?' for unit in UNITS)})$"
"""A group for each of SECONDS. Its numbers are so short that the 28 digits of Python's decimals
hold every sum exactly, as numeric does. The empty text matches, and has no group."""

SECONDS = ("1", *UNITS.values())

EXAMPLES = '90, "90s" or "1h30m"'

_SHAPE = re.compile(PATTERN.replace("$", r"\Z"))


def refusal(flag: str, text: str) -> str:
    """Words for a text that is no duration."""
    return f'{flag}: expected seconds, as {EXAMPLES}, got "{text[:80]}"'


def seconds(text: str) -> Decimal | None:
    """Returns the seconds that a text says, None if it says none."""
    found = _SHAPE.match(text)
    if not text or not found:
        return None
    parts = zip(found.groups(), SECONDS, strict=True)
    return sum((Decimal(number) * Decimal(unit) for number, unit in parts if number), Decimal(0))
