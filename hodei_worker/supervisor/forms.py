"""The forms in which the value of a secret may stand in output: the value, each of its lines, what
JSON and URLs make of them, and base64."""

import base64
import re
from collections.abc import Iterable, Iterator

from hodei_worker.supervisor.encoders import JSON, Table, json_forms, percent_forms

Tables = tuple[Table, ...]

LEAST_BYTES = 8
"""Bytes of a line, and of a form that was made of a value: what is shorter would be found in
everything. A value itself is looked for whatever its length."""


def forms(values: Iterable[bytes]) -> set[bytes]:
    """Returns all forms of all values; none is empty."""
    found: set[bytes] = set()
    tables = tuple(row.table() for row in JSON)
    for value in values:
        lines = (line.removesuffix(b"\r") for line in value.split(b"\n"))
        for text in {value, *(line for line in lines if len(line) >= LEAST_BYTES)}:
            found |= {form for form in _recoded(text, tables) if len(form) >= LEAST_BYTES}
        found |= {value, *_escaped(value, tables)}
    return found - {b""}


def _recoded(text: bytes, tables: Tables) -> Iterator[bytes]:
    yield text
    if not PLAIN.fullmatch(text):
        yield from _escaped(text, tables)
    for form in _base64(text):
        yield form
        yield form.translate(URL_SAFE)


PLAIN = re.compile(rb"[A-Za-z0-9_.-]*")
"""Text that neither JSON nor a URL changes."""

URL_SAFE = bytes.maketrans(b"+/", b"-_")


def _escaped(text: bytes, tables: Tables) -> Iterator[bytes]:
    """As the inside of a JSON string, if it is text that JSON can hold, and as a part of a URL."""
    words = text.decode(errors="surrogateescape")
    if words.isprintable() or words.encode(errors="ignore") == text:
        for escaped in json_forms(words, tables):
            yield escaped.encode(errors="surrogateescape")
    for percent in percent_forms(text):
        yield percent.encode()


def _base64(text: bytes) -> Iterator[bytes]:
    """At the three places that a text can have in groups of three bytes: the digits that depend on
    nothing else; and with the last digit, where the text is the end of what is encoded."""
    for before in range(3):
        digits = base64.b64encode(bytes(before) + text).rstrip(b"=")
        first = -(-8 * before // 6)
        yield digits[first : 8 * (before + len(text)) // 6]
        yield digits[first:]
