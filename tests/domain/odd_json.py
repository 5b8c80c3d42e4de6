"""Texts that are nearly JSON, or JSON that PostgreSQL cannot hold: what a key that comes again has
replaced among it."""

import itertools
import random
from collections.abc import Iterator

from tests.domain.odd_values import NUMBERS

GOOD = '{"command": "true"}'

STRINGS = (
    r"\u0000",
    r"\\\u0000",
    r"\\u0000",
    r"\ud800",
    r"a\uDfff",
    r"\ude00\ud83d",
    r"\ud83d\n",
    r"\ud83d\ude00",
    r"\\ud800",
    r"\uffff",
    r"\x41",
    r"\u12g4",
    r"\u 123",
    r"\/",
    "\t",
    "\x7f",
    "\ufeff",
)

WHERE_STRINGS_STAND = (
    """{"name": %s, "command": "true"}""",
    """{"name": %s, "name": "x", "command": "true"}""",
    """{"name": "x", "name": %s, "command": "true"}""",
    """{%s: null, "command": "true"}""",
    """{"env": {%s: "x"}, "env": {}, "command": "true"}""",
    """{"env": {"A": %s, "A": "x"}, "command": "true"}""",
    """{"command": ["echo", %s], "command": "true"}""",
    """{"x": [[{"a": 1, %s: [%s]}]], "x": null, "command": "true"}""",
)

WHERE_NUMBERS_STAND = (
    """{"priority": %s, "command": "true"}""",
    """{"priority": %s, "priority": 1, "name": "\\ud83d\\ude00", "command": "true"}""",
    """{"labels": {"a": %s, "a": "b"}, "command": "true"}""",
)

NO_NUMBERS = ("NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+1", "1e", "0x1", "1_0", "\u0661")

AROUND = (
    *(" ", "\n", "\f", "\v", "\xa0", "\u2028", "\u3000", "\ufeff", "\x1f", "\x85"),
    *("x", "{}", ",", "// x", "/* */", "#", "}", ";", "null"),
)


DEEPEST = 500
"""Levels that are read everywhere; the door of Python has its bound not far above."""


def replaced(dice: random.Random) -> str:
    """A value that a key that comes again replaces: all that a JSON parser must read, and what
    PostgreSQL refuses to hold nevertheless."""
    kind = dice.randrange(5)
    if kind == 0:
        return f'"{"".join(dice.choices(STRINGS, k=dice.randint(0, 3)))}"'
    if kind == 1:
        return dice.choice((*NUMBERS, *NO_NUMBERS, "true", "null", "nul", "[1,]", '{"a":}', "{,}"))
    if kind == 2:
        depth = dice.randint(1, DEEPEST)
        return dice.choice(("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth))
    if kind == 3:
        exponent = dice.choice((16_383, 131_071, 1 << 30, (1 << 31) - 1, 1 << 63))
        near = exponent + dice.choice((-3, -2, 1, 2))
        return f"{dice.choice('0012-')}{dice.choice(('', '.0', '.05'))}{dice.choice('eE')}{near}"
    letter = dice.choice(("x", "é", r"\u0041"))
    return f'"{letter * dice.choice((10, 255, 256, 3_000))}"'


def texts() -> Iterator[str]:
    for string, place in itertools.product(STRINGS, WHERE_STRINGS_STAND):
        yield place.replace("%s", f'"{string}"')
    for number, place in itertools.product((*NUMBERS, *NO_NUMBERS), WHERE_NUMBERS_STAND):
        yield place % number
    for other in AROUND:
        yield from (other + GOOD, GOOD + other, GOOD[:-1] + other + "}", "{" + other + GOOD[1:])
    yield from ("", " ", "null", "[]", "{", "{}", "{'command': 'true'}", '{command: "true"}')
    yield from ('{"command": True}', '{"comm\\u0061nd": "true"}', '{"": null, "command": "true"}')
    yield f'{{"{"k" * 70_000}": null, "command": "true"}}'
    for depth in (10, DEEPEST, 100_000):
        yield f'{{"x": {"[" * depth}{"]" * depth}, "x": null, "command": "true"}}'
