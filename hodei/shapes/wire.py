"""Shapes and the messages of hodei.proto, which have the same fields: a time `x_at` is `x_unix_us`
there, and nothing is what proto3 says for nothing (an unset field, an empty text, 0)."""

import typing
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from hodei.shapes.fields import Field, Time, fields_of

T = TypeVar("T")
M = TypeVar("M")

NOTHING = {"heartbeat_age_s": -1.0, "spec": "{}"}
"""What says nothing in these fields, where empty and 0 do not."""


class _Pair(NamedTuple):
    """A field of a shape and of its message."""

    field: Field
    name: str  # in the message
    has_presence: bool
    container: Callable[[Any], Any] | None  # dict or list: a message has types of its own for them


_known: dict[tuple[type, type], tuple[_Pair, ...]] = {}


def _pairs(shape: type[Any], message: type[Any]) -> tuple[_Pair, ...]:
    """The fields that both have; they are worked out once."""
    if (shape, message) not in _known:
        _known[shape, message] = tuple(_pair(field, message) for field in fields_of(shape))
    return _known[shape, message]


def _pair(field: Field, message: type[Any]) -> _Pair:
    described = message.DESCRIPTOR.fields_by_name
    name = field.name
    if field.kind is Time:
        short = f"{name.removesuffix('_at')}_unix_us"
        name = short if short in described else f"{name}_unix_us"
    return _Pair(field, name, described[name].has_presence, typing.get_origin(field.kind))


def fill(message: type[M], shape: Any) -> M:
    """The message that says a shape. ValueError, TypeError, OverflowError: it cannot hold a value,
    which somebody has set by hand."""
    values = {}
    for field, name, _, _ in _pairs(type(shape), message):
        value = getattr(shape, field.name)
        if value is not None:
            values[name] = value
        elif name in NOTHING:
            values[name] = NOTHING[name]
    return message(**values)


def read(shape: type[T], message: Any) -> T:
    """The shape that a message says."""
    values = {}
    for pair in _pairs(shape, type(message)):
        value = getattr(message, pair.name)
        if pair.field.optional and _says_nothing(message, pair, value):
            value = None
        values[pair.field.name] = pair.container(value) if pair.container else value
    return shape(**values)


def _says_nothing(message: Any, pair: _Pair, value: Any) -> bool:
    if pair.has_presence:
        return not message.HasField(pair.name)
    if pair.name in NOTHING:
        return value in (NOTHING[pair.name], "")
    return not value
