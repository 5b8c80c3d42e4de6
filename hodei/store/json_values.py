"""How JSON leaves PostgreSQL: whatever a hand has put into a column, it can be read."""

import json
from typing import Any

from psycopg.types.json import set_json_loads

UNREADABLE = {"unreadable": "a value that a hand has set"}
"""In place of JSON that a program cannot read: too deep, or a number of thousands of digits or
beyond a double. One such row would cost the answer of all others."""


def readable(text: str) -> str:
    """Returns JSON that whoever gets it can read: this text, or UNREADABLE in its place."""
    return json.dumps(UNREADABLE) if _json(text) == UNREADABLE else text


def _json(data: str | bytes) -> Any:
    try:
        return json.loads(data, parse_float=_finite)
    except (ValueError, RecursionError):
        return dict(UNREADABLE)


def _finite(digits: str) -> float:
    """ValueError: it would be infinity, which JSON cannot say."""
    number = float(digits)
    if abs(number) == float("inf"):
        raise ValueError(digits[:20])
    return number


set_json_loads(_json)
