"""How large a shape is when it is shown, so that a list ends before it is too large."""

from dataclasses import is_dataclass
from typing import Any

from hodei.shapes.fields import fields_of

FIELD_BYTES = 12
"""Bytes of a field besides its text, at most: name and number in a message."""


def size_of(shape: Any) -> int:
    """Returns bytes of a shape in a message, at most."""
    fields = fields_of(type(shape))
    size = FIELD_BYTES * len(fields)
    for field in fields:
        value = getattr(shape, field.name)
        if isinstance(value, str):
            size += len(value.encode(errors="replace"))
        elif isinstance(value, dict):
            size += sum(_bytes_of(key) + _bytes_of(one) for key, one in value.items())
        elif isinstance(value, list):
            size += sum(size_of(one) if is_dataclass(one) else _bytes_of(one) for one in value)
    return size


def _bytes_of(entry: Any) -> int:
    return len(str(entry).encode(errors="replace")) + FIELD_BYTES
