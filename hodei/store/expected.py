"""What a database must have of the schema, as catalog.json says, which tools/catalog writes from a
fresh schema.sql."""

import functools
import json
from importlib import resources
from typing import Any


@functools.cache
def expected() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(
        resources.files("hodei.store").joinpath("catalog.json").read_text(encoding="utf-8")
    )
    return found
