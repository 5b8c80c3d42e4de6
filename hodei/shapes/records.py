"""hodei/client/records.py, made from the shapes: `tools/json-docs` writes it.

A record has the fields of its shape, as types of Python: times are datetimes, JSON is the value
that it says."""

import re
import textwrap
from typing import Any

from hodei.shapes.fields import Field, Json, Time, fields_of
from hodei.shapes.job import Attempt, Event, Job

RECORDS = (Job, Attempt, Event)
"""The shapes that the Python client answers with."""

HEAD = '''"""What the client answers with. Times are in UTC; None: no value, not yet, or not known.

Made from hodei/shapes by `{command}`; tests/client compares them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
'''

COMMAND = "tools/json-docs"

COLUMNS = 96
"""Columns of a line of a docstring, without its indentation."""


def source() -> str:
    """The whole module."""
    return HEAD.format(command=COMMAND) + "".join(_record(shape) for shape in RECORDS)


def _record(shape: type) -> str:
    fields = "".join(
        f"\n    {field.name}: {_type(field)}\n{_doc(field.meaning)}" for field in fields_of(shape)
    )
    about = _doc(shape.__doc__ or "")
    return f"\n\n@dataclass(frozen=True, slots=True, kw_only=True)\nclass {shape.__name__}:\n{about}{fields}"


def _doc(words: str) -> str:
    """A docstring; JSON's word for nothing becomes Python's."""
    plain = re.sub(r"\bnull\b", "None", " ".join(words.split()))
    text = f'"""{plain}"""'
    return textwrap.indent("\n".join(textwrap.wrap(text, COLUMNS)), "    ") + "\n"


TYPES: dict[Any, str] = {Time: "datetime", Json: "dict[str, Any]"}


def _type(field: Field) -> str:
    """The type of a field, as a program writes it."""
    plain = field.kind.__name__ if isinstance(field.kind, type) else str(field.kind)
    words = TYPES.get(field.kind, plain)
    return f"{words} | None" if field.optional else words


if __name__ == "__main__":
    print(source(), end="")
