"""Reads the JSON of a spec as PostgreSQL does: numbers exactly, and no text that it cannot hold."""

import json
import re
from decimal import Decimal, InvalidOperation
from typing import Any

from hodei.domain.errors import Invalid

UNTELLABLE = re.compile("[\x00\ud800-\udfff]")
"""NUL and lone surrogates, which PostgreSQL's text cannot hold."""

MOST_SCALE, MOST_MAGNITUDE = 16_383, 131_071
"""Most digits behind and before the point that PostgreSQL's numeric, and so its jsonb, can hold."""

MOST_EXPONENT = (1 << 30) - 2
"""The largest exponent that each PostgreSQL reads, also that of a zero: 15 refuses one more, which
later ones take."""


def read(text: str) -> dict[str, Any]:
    """Returns the keys of a spec that are not null. Invalid: it is no JSON object, or PostgreSQL
    could not hold it."""
    try:
        if text.startswith("\ufeff"):
            raise ValueError("it begins with a byte order mark (U+FEFF)")
        value = _DECODER.decode(text)
        if not isinstance(value, dict):
            raise Invalid(f"spec: expected a JSON object, got {type_name(value)}")
        if "\\u0000" in text or "\\ud" in text or "\\uD" in text or UNTELLABLE.search(text):
            _refuse_untellable(_DECODER_OF_PAIRS.decode(text), "spec")
    except (ValueError, RecursionError) as error:
        words = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Invalid(f"spec: expected JSON, got text that does not parse: {words[:200]}") from None
    return {key: item for key, item in value.items() if item is not None}


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _decimal(text: str) -> Decimal:
    """Reads a number exactly as it is written: PostgreSQL reads it as numeric, not as a double."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(f"the number {text[:40]} is out of range") from None
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)  # noqa: S101  JSON has no infinity and no NaN
    written = Decimal(text.lower().partition("e")[2] or 0)
    large = number and number.adjusted() > MOST_MAGNITUDE
    if -exponent > MOST_SCALE or large or written > MOST_EXPONENT:
        raise ValueError(f"the number {text[:40]} is out of range")
    return number


def _whole(text: str) -> int | Decimal:
    return int(text) if len(text) < 20 else _decimal(text)


# Made once: to make one takes as long as to read a short spec.
_DECODER = json.JSONDecoder(parse_constant=_no_constant, parse_float=_decimal, parse_int=_whole)
# An object is a tuple of its pairs: PostgreSQL reads also what a key that comes again replaces.
_DECODER_OF_PAIRS = json.JSONDecoder(object_pairs_hook=tuple, parse_float=str, parse_int=str)


def _refuse_untellable(value: Any, where: str) -> None:
    if isinstance(value, str):
        if "\0" in value:
            raise Invalid(f"{where}: expected text without NUL")
        if UNTELLABLE.search(value):
            raise Invalid(f"{where}: expected valid Unicode text")
    elif isinstance(value, tuple):
        for key, item in value:
            _refuse_untellable(key, where)
            _refuse_untellable(item, key if where == "spec" else f"{where}.{key}")
    elif isinstance(value, list):
        for item in value:
            _refuse_untellable(item, where)


def type_name(value: Any) -> str:
    """Returns JSON's name of a value's type, as jsonb_typeof does."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | Decimal):
        return "number"
    names: dict[type[Any], str] = {dict: "object", list: "array", str: "string"}
    return names.get(type(value), "null")
