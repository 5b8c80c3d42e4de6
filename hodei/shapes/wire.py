"""Shapes and the messages of hodei.proto, which have the same fields: a time `x_at` is `x_unix_us`
there, and nothing is what proto3 says for nothing (an unset field, an empty text, 0)."""

import typing
from typing import Any, TypeVar

from hodei.shapes.fields import Field, Time, fields_of

T = TypeVar("T")
M = TypeVar("M")

NOTHING = {"heartbeat_age_s": -1.0, "spec": "{}"}
"""What says nothing in these fields, where empty and 0 do not."""


def fill(message: M, shape: Any) -> M:
    """Writes a shape into an empty message, and returns that. ValueError, TypeError: the message
    cannot hold a value, which somebody has set by hand."""
    for field in fields_of(type(shape)):
        name = _name_in(message, field)
        value = getattr(shape, field.name)
        value = NOTHING.get(name) if value is None else value
        if isinstance(value, dict):
            getattr(message, name).update(value)
        elif isinstance(value, list):
            getattr(message, name).extend(value)
        elif value is not None:
            setattr(message, name, value)
    return message


def read(shape: type[T], message: Any) -> T:
    """The shape that a message says."""
    return shape(**{field.name: _value_in(message, field) for field in fields_of(shape)})


def _value_in(message: Any, field: Field) -> Any:
    name = _name_in(message, field)
    value = getattr(message, name)
    if field.optional and _says_nothing(message, name, value):
        return None
    container = typing.get_origin(field.kind)  # a message has types of its own for these
    return container(value) if container else value


def _says_nothing(message: Any, name: str, value: Any) -> bool:
    if message.DESCRIPTOR.fields_by_name[name].has_presence:
        return not message.HasField(name)
    return value == NOTHING[name] if name in NOTHING else not value


def _name_in(message: Any, field: Field) -> str:
    if field.kind is not Time:
        return field.name
    short = f"{field.name.removesuffix('_at')}_unix_us"
    return short if short in message.DESCRIPTOR.fields_by_name else f"{field.name}_unix_us"
