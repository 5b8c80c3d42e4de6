"""Random specs, as JSON text: mostly legal, with one or two odd values of every kind that a door
must answer alike in Python and in PostgreSQL."""

import json
import random
from collections.abc import Callable

from hodei.domain.spec_keys import OF_IMAGES
from tests.domain.odd_json import replaced
from tests.domain.odd_values import (
    KEYS_OF_NUMBERS,
    NUMBERS,
    NUMBERS_OF_DURATIONS,
    PIECES,
    TIMES,
    UNITS,
)


def text(dice: random.Random, most: int = 12) -> str:
    return "".join(dice.choices(PIECES, k=dice.randint(0, most)))


def number(dice: random.Random) -> str:
    kind = dice.random()
    if kind < 0.5:
        return dice.choice(NUMBERS)
    if kind < 0.8:
        return f"{dice.uniform(-5, 2000):.{dice.randint(0, 25)}f}"
    return f"{dice.randint(-10, 10 ** dice.randint(0, 30))}e{dice.randint(-25, 25)}"


def _word(dice: random.Random) -> str:
    if dice.random() < 0.01:
        return json.dumps(dice.choice("xé") * dice.choice((66_000, 131_072, 140_000)))
    return json.dumps(
        dice.choice(
            (
                text(dice),
                "x",
                "rerun",
                "fail",
                "maybe",
                "/",
                "/tmp",
                "a" * 200,
                "a" * 201,
                "ñ" * 200,
                "12",
                "1e400",
                "-0",
                "\u2003",
                "\u00a0x\u3000",
            )
        )
    )


def _script(dice: random.Random) -> str:
    if dice.random() < 0.3:
        return _word(dice)
    blanks = "".join(dice.choices(" \t", k=dice.randint(0, 2)))
    words = dice.choice(("/bin/sh", "/usr/bin/env", "", text(dice, 3)))
    line = (
        dice.choice(("#!", "#!", "# !", "\ufeff#!", ""))
        + blanks
        + words
        + dice.choice((" -S x", "\t", " ", "\r", ""))
    )
    return json.dumps(line + dice.choice(("\n", "\r\n", "")) + text(dice, 4))


def duration(dice: random.Random) -> str:
    """A text that is one more often than not, with all that it may hold and may not."""
    if dice.random() < 0.6:
        units = sorted(dice.sample(range(6), dice.randint(1, 3)))
        return "".join(dice.choice(NUMBERS_OF_DURATIONS[:7]) + UNITS[unit] for unit in units)
    parts = (
        dice.choice(NUMBERS_OF_DURATIONS) + dice.choice(UNITS) for _ in range(dice.randint(0, 3))
    )
    return "".join(parts) + text(dice, 1)


def _number(dice: random.Random) -> str:
    kind = dice.random()
    if kind < 0.6:
        return number(dice)
    if kind < 0.7:
        return json.dumps(number(dice))
    return json.dumps(duration(dice)) if kind < 0.9 else dice.choice(("true", "null", "[]", "{}"))


def _umask(dice: random.Random) -> str:
    digits = "".join(dice.choices("0001234567789 x", k=dice.choice((3, 4, 4, 4, 5))))
    return json.dumps(dice.choice((digits, "0022", "0777", text(dice, 4), 18)))


def _signal(dice: random.Random) -> str:
    names = ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2", "KILL", "SIGINT", "int", "INT\n", 15)
    return json.dumps(dice.choice((*names, text(dice, 4))))


def _list(dice: random.Random) -> str:
    items = [
        dice.choice((json.dumps(text(dice)), '"echo"', '""', '" \\t"', "1", "null"))
        for _ in range(dice.randint(0, 3))
    ]
    return "[" + ", ".join(items) + "]"


def _codes(dice: random.Random) -> str:
    return (
        "["
        + ", ".join(
            dice.choice(("1", "3", "255", "3.0", "3e0", number(dice), '"3"'))
            for _ in range(dice.randint(0, 3))
        )
        + "]"
    )


def _map(dice: random.Random) -> str:
    names = ("A", "_b2", "1A", "a-b", "gpu", "zone/x.y-z", "", "a" * 63, "a" * 64, text(dice, 4))
    values = (
        json.dumps(text(dice)),
        '""',
        '"' + "x" * 255 + '"',
        '"' + "x" * 256 + '"',
        "1",
        "null",
        '{"secret": "a.b"}',
        json.dumps({dice.choice(("secret", "secrets")): text(dice, 2)}),
    )
    return (
        "{"
        + ", ".join(
            f"{json.dumps(dice.choice(names))}: {dice.choice(values)}"
            for _ in range(dice.randint(0, 3))
        )
        + "}"
    )


def _id(dice: random.Random) -> str:
    return json.dumps(
        dice.choice(
            (
                "0190B5C5-0000-7000-8000-000000000001",
                "{0190b5c5-0000-7000-8000-000000000001}",
                "7",
                text(dice),
            )
        )
    )


def _base64(dice: random.Random) -> str:
    return json.dumps(
        dice.choice(
            (
                "",
                "AP8=",
                "AP9=",
                "A",
                "AAAA",
                "AA==",
                "AB==",
                "=AAA",
                "AA=A",
                "AAA\n",
                "A-_A",
                "AAAA AAAA",
            )
        )
    )


def _run_at(dice: random.Random) -> str:
    if dice.random() < 0.6:
        return json.dumps(dice.choice(TIMES))
    moment = f"{dice.randint(1995, 3005):04}-{dice.randint(0, 13):02}-{dice.randint(0, 32):02}"
    moment += f"T{dice.randint(0, 24):02}"
    moment += f":{dice.randint(0, 60):02}" + dice.choice(
        ("", f":{dice.randint(0, 60):02}", f":00.{dice.randint(0, 10**7)}")
    )
    return json.dumps(
        moment
        + dice.choice(
            ("Z", "", f"{dice.choice('+-')}{dice.randint(0, 24):02}:{dice.randint(0, 60):02}")
        )
    )


def _of_container(dice: random.Random) -> str:
    words = ("busybox", "a/b:1@sha256:0", "1.5", "512m", "linux/arm64", "never", "/a:/b:ro", "0:x")
    return json.dumps(dice.choice((*words, text(dice, 3), True, 7)))


def _of_containers(dice: random.Random) -> str:
    return "[" + ", ".join(_of_container(dice) for _ in range(dice.randint(0, 2))) + "]"


ODD: dict[str, Callable[[random.Random], str]] = {
    **dict.fromkeys(
        ("name", "actor", "correlation_id", "workdir", "on_lost", "command", "stdin"), _word
    ),
    "script": _script,
    **dict.fromkeys(KEYS_OF_NUMBERS, _number),
    "interpreter": _list,
    "argv": _list,
    "env": _map,
    "labels": _map,
    "final_exit_codes": _codes,
    "umask": _umask,
    "term": _signal,
    "id": _id,
    "stdin_base64": _base64,
    "run_at": _run_at,
    "stranger": _word,
    **dict.fromkeys(OF_IMAGES, _of_container),
    "image": _of_container,
    "volumes": _of_containers,
    "tmpfs": _of_containers,
}


def spec(dice: random.Random) -> str:
    """One spec; keys may come twice (the last one counts) or be null."""
    entries = [
        dice.choice(
            (
                '"command": "true"',
                '"command": "true"',
                '"script": "exit 3"',
                '"command": ["echo", "hi"]',
            )
        )
    ]
    if dice.random() < 0.2:
        entries.append('"image": "busybox"')
    for key in dice.choices(list(ODD), k=dice.randint(0, 4)):
        name = "command" if key == "argv" else key
        if dice.random() < 0.05:
            entries.append(f'"{name}": {replaced(dice)}')
        entries.append(f'"{name}": {ODD[key](dice)}')
    dice.shuffle(entries)
    return "{" + ", ".join(entries) + "}"
