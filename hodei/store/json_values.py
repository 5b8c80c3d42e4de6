"""How JSON leaves PostgreSQL: whatever a hand has put into a column, it can be read."""

import json
from typing import Any

from psycopg.types.json import set_json_loads

UNREADABLE = {"unreadable": "a value that a hand has set"}
"""In place of JSON that Python cannot read: too deep, or a number of thousands of digits. One such
row would cost the answer of all others."""


def _json(data: str | bytes) -> Any:
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return dict(UNREADABLE)


set_json_loads(_json)
