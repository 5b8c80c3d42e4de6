"""How large a shape is when it is shown, so that a list ends before it is too large."""

from typing import Any

from hodei.shapes.fields import fields_of

FIELD_BYTES = 12
"""Bytes of a field besides its text, at most: name and number in a message."""


def size_of(shape: Any) -> int:
    """Bytes of a shape in a message, at most."""
    size = 0
    for field in fields_of(type(shape)):
        value = getattr(shape, field.name)
        size += FIELD_BYTES
        if isinstance(value, str):
            size += len(value.encode(errors="replace"))
        elif isinstance(value, dict):
            size += sum(
                len(str(key).encode()) + len(str(one).encode()) + FIELD_BYTES
                for key, one in value.items()
            )
        elif isinstance(value, list):
            size += sum(len(str(one).encode()) + FIELD_BYTES for one in value)
    return size
