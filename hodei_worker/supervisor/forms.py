"""The forms in which the value of a secret may stand in output: the value, each of its lines, what
JSON and URLs make of them, and base64."""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

LEAST_BYTES = 8
"""Bytes of a line, and of a form that was made of a value: what is shorter would be found in
everything. A value itself is looked for whatever its length."""


def forms(values: Iterable[bytes]) -> set[bytes]:
    """Returns all forms of all values; none is empty."""
    found: set[bytes] = set()
    for value in values:
        lines = (line.removesuffix(b"\r") for line in value.split(b"\n"))
        for text in {value, *(line for line in lines if len(line) >= LEAST_BYTES)}:
            found |= {form for form in _recoded(text) if len(form) >= LEAST_BYTES}
        found |= {value, *_escaped(value)}
    return found - {b""}


def _recoded(text: bytes) -> Iterator[bytes]:
    yield text
    if not PLAIN.fullmatch(text):
        yield from _escaped(text)
    for form in _base64(text):
        yield form
        yield form.translate(URL_SAFE)


PLAIN = re.compile(rb"[A-Za-z0-9_.~-]*")
"""Text that neither JSON nor a URL changes."""

URL_SAFE = bytes.maketrans(b"+/", b"-_")


def _escaped(text: bytes) -> Iterator[bytes]:
    """As the inside of a JSON string, with and without characters beyond ASCII, and as a part of a
    URL: programs differ in what they leave as it is."""
    words = text.decode(errors="surrogateescape")
    if words.isprintable() or words.encode(errors="ignore") == text:
        for ascii_only in (True, False):
            escaped = json.dumps(words, ensure_ascii=ascii_only)[1:-1]
            yield escaped.encode(errors="surrogateescape")
            yield escaped.replace("/", "\\/").encode(errors="surrogateescape")
    for percent in (quote(text, ""), quote(text, "/"), quote(text, "!'()*"), quote_plus(text)):
        yield percent.encode()
        yield _lower_case(percent).encode()


def _lower_case(percent: str) -> str:
    """Returns a text with its hex digits behind % in lower case."""
    head, *parts = percent.split("%")
    return "%".join([head, *(part[:2].lower() + part[2:] for part in parts)])


def _base64(text: bytes) -> Iterator[bytes]:
    """At the three places that a text can have in groups of three bytes: the digits that depend on
    nothing else; and with the last digit, where the text is the end of what is encoded."""
    for before in range(3):
        digits = base64.b64encode(bytes(before) + text).rstrip(b"=")
        first = -(-8 * before // 6)
        yield digits[first : 8 * (before + len(text)) // 6]
        yield digits[first:]
