"""Shapes and the messages of hodei.proto, which have the same fields: a time `x_at` is `x_unix_us`
there, a list of shapes is a repeated message, and nothing is what proto3 says for nothing (an unset
field, an empty text, 0)."""

import typing
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from hodei.shapes.fields import Field, Time, fields_of, shape_in

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
    inner: type[Any] | None  # the shape of the entries of a list
    inner_message: Any  # their descriptor
    range: tuple[int, int] | None  # of its numbers


_known: dict[tuple[type, Any], tuple[_Pair, ...]] = {}


def _pairs(shape: type[Any], described: Any) -> tuple[_Pair, ...]:
    """The fields that a shape and a message, by its descriptor, both have; they are worked out
    once."""
    key = shape, described
    if key not in _known:
        _known[key] = tuple(_pair(field, described) for field in fields_of(shape))
    return _known[key]


def _pair(field: Field, described: Any) -> _Pair:
    name = field.name
    if field.kind is Time:
        short = f"{name.removesuffix('_at')}_unix_us"
        name = short if short in described.fields_by_name else f"{name}_unix_us"
    there = described.fields_by_name[name]
    inner = shape_in(field)
    return _Pair(
        field,
        name,
        there.has_presence,
        typing.get_origin(field.kind),
        inner,
        there.message_type if inner else None,
        _range(there),
    )


def _range(described: Any) -> tuple[int, int] | None:
    """The smallest and the largest number of a field that does not hold each bigint of PostgreSQL."""
    ranges = {
        described.CPPTYPE_INT32: (-1 << 31, (1 << 31) - 1),
        described.CPPTYPE_UINT32: (0, (1 << 32) - 1),
        described.CPPTYPE_UINT64: (0, (1 << 64) - 1),
    }
    return ranges.get(described.cpp_type)


def fill(message: type[M], shape: Any) -> M:
    """The message that says a shape. ValueError, TypeError, OverflowError: it cannot hold a value,
    which somebody has set by hand."""
    return message(**_values(shape, message.DESCRIPTOR))  # type: ignore[attr-defined]


def fill_near(message: type[M], shape: Any) -> M:
    """As `fill`, with whole numbers brought into the range of their fields: a row that a hand has
    set costs no answer."""
    return message(**_values(shape, message.DESCRIPTOR, near=True))  # type: ignore[attr-defined]


def _values(shape: Any, described: Any, *, near: bool = False) -> dict[str, Any]:
    values = {}
    for pair in _pairs(type(shape), described):
        value = getattr(shape, pair.field.name)
        if value is not None:
            if pair.inner:
                value = [_values(one, pair.inner_message, near=near) for one in value]
            elif near and pair.range and isinstance(value, int):
                value = min(max(value, pair.range[0]), pair.range[1])
            values[pair.name] = value
        elif pair.name in NOTHING:
            values[pair.name] = NOTHING[pair.name]
    return values


def read(shape: type[T], message: Any) -> T:
    """The shape that a message says."""
    values = {}
    for pair in _pairs(shape, message.DESCRIPTOR):
        value = getattr(message, pair.name)
        if pair.inner:
            value = [read(pair.inner, one) for one in value]
        elif pair.field.optional and _says_nothing(message, pair, value):
            value = None
        values[pair.field.name] = pair.container(value) if pair.container else value
    return shape(**values)


def _says_nothing(message: Any, pair: _Pair, value: Any) -> bool:
    if pair.has_presence:
        return not message.HasField(pair.name)
    if pair.name in NOTHING:
        return value in (NOTHING[pair.name], "")
    return not value
