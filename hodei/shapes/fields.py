"""What kinds of fields a shape has."""

import dataclasses
import types
import typing
from dataclasses import dataclass
from typing import Any, NewType

Time = NewType("Time", int)
"""Microseconds since 1970 (UTC). Names of such fields end in `_at`."""

Json = NewType("Json", str)
"""JSON text; it is shown as the value that it says."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a shape."""

    name: str
    kind: Any  # str, int, float, bool, Time, Json, or a dict or list of them, or a list of shapes
    optional: bool  # it may be None, which means nothing, not yet, or not known
    meaning: str


_known: dict[type, tuple[Field, ...]] = {}


def fields_of(shape: type[Any]) -> tuple[Field, ...]:
    """The fields of a shape, in their order; they are worked out once."""
    if shape not in _known:
        _known[shape] = _fields(shape)
    return _known[shape]


def _fields(shape: type[Any]) -> tuple[Field, ...]:
    hints = typing.get_type_hints(shape, include_extras=True)
    return tuple(_field(field.name, hints[field.name]) for field in dataclasses.fields(shape))


def _field(name: str, hint: Any) -> Field:
    kind, meaning = typing.get_args(hint)
    is_union = typing.get_origin(kind) in (types.UnionType, typing.Union)
    members = typing.get_args(kind) if is_union else (kind,)
    (alone,) = (member for member in members if member is not type(None))
    return Field(name, alone, type(None) in members, meaning)


def shape_in(field: Field) -> type[Any] | None:
    """The shape of the entries of a field that is a list of shapes; None: it is none."""
    (*_, last) = typing.get_args(field.kind) or (None,)
    return last if isinstance(last, type) and dataclasses.is_dataclass(last) else None
