"""How JSON and URLs write a text, as the encoders of other languages do it: they differ in which
characters they escape, and how.

Each row stands for real encoders. A combination that none of them makes is not tried: the number of
forms, and the memory that they need, grows with each row."""

from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import quote

SHORT = {ord(char): f"\\{letter}" for char, letter in zip('"\\\b\f\n\r\t', '"\\bfnrt', strict=True)}
"""What every encoder of JSON escapes; other control characters become \\u00xx."""

LINE_ENDS = "\u2028\u2029"
"""Ends of lines for JavaScript, but not for JSON."""


class Json(NamedTuple):
    """What an encoder escapes beyond SHORT and control characters."""

    lower: str = ""  # as \\u003c
    upper: str = ""  # as \\u003C
    beyond: bool = False  # whatever is not ASCII, in the case of controls
    slash: bool = False  # / as \\/
    upper_controls: bool = False

    def table(self) -> "Table":
        """For str.translate."""
        return Table(self)


class Table(dict[int, str | int]):
    """What stands for each character; characters beyond ASCII are added when they are met."""

    def __init__(self, row: Json) -> None:
        self._row = row
        controls = {code: _escape(code, upper=row.upper_controls) for code in range(32)}
        marks = {ord(char): _escape(ord(char), upper=False) for char in row.lower}
        marks |= {ord(char): _escape(ord(char), upper=True) for char in row.upper}
        super().__init__(controls | SHORT | marks | ({ord("/"): "\\/"} if row.slash else {}))

    def __missing__(self, code: int) -> str | int:
        is_escaped = self._row.beyond and code > 0x7F
        found = _escape(code, upper=self._row.upper_controls) if is_escaped else code
        self[code] = found
        return found


def _escape(code: int, *, upper: bool) -> str:
    """A character as \\uxxxx, one beyond the first 65,536 as two of them."""
    units = chr(code).encode("utf-16-be", "surrogatepass").hex()
    digits = units.upper() if upper else units
    return "".join(f"\\u{digits[at : at + 4]}" for at in range(0, len(digits), 4))


DEL = "\x7f"

JSON = (
    Json(),  # JavaScript, Ruby, Rust, Jackson, Python with ensure_ascii=False
    Json(lower=DEL),  # jq
    Json(lower=DEL, beyond=True),  # Python, jq -a
    Json(beyond=True),  # PHP with JSON_UNESCAPED_SLASHES
    Json(beyond=True, slash=True),  # PHP
    Json(lower=LINE_ENDS, slash=True),  # PHP with JSON_UNESCAPED_UNICODE
    Json(lower="<>&" + LINE_ENDS),  # Go, Rails
    Json(lower=LINE_ENDS),  # Go with SetEscapeHTML(false)
    Json(lower="<>&='" + LINE_ENDS),  # Gson
    Json(beyond=True, upper_controls=True),  # Jackson with ESCAPE_NON_ASCII
    Json(upper=DEL + "\"<>&'+`", beyond=True, upper_controls=True),  # .NET
    Json(upper="\"<>&'", beyond=True, slash=True),  # PHP with JSON_HEX_TAG and its like
    Json(slash=True),
    Json(lower=DEL, beyond=True, slash=True),  # Python's ujson
)


def json_forms(text: str, tables: tuple[Table, ...]) -> Iterator[str]:
    """The inside of a JSON string, as each table writes it."""
    for table in tables:
        yield text.translate(table)


class Percent(NamedTuple):
    """What an encoder of URLs leaves, besides letters, digits and - . _"""

    safe: str
    plus: bool = False  # a space as +
    tilde: bool = True  # ~ is left
    lower: bool = False  # also with hex digits in lower case


PERCENT = (
    Percent("", lower=True),  # PHP's rawurlencode, Ruby's ERB, Python with safe=""
    Percent("/", lower=True),  # Python's quote
    Percent("!'()*", lower=True),  # JavaScript's encodeURIComponent, jq
    Percent("", plus=True, lower=True),  # Python's quote_plus, Go's QueryEscape, Ruby's CGI
    Percent("", plus=True, tilde=False),  # PHP's urlencode
    Percent("*", plus=True, tilde=False),  # Java's URLEncoder, JavaScript's URLSearchParams, Ruby
    Percent("!()*", plus=True, tilde=False, lower=True),  # .NET's UrlEncode, in lower case
    Percent("!'()*;,/?:@&=+$#"),  # JavaScript's encodeURI
    Percent("$&+=:@"),  # Go's PathEscape
    Percent("$&+,/:;=@"),  # Go's URL
    Percent("!$%&()*+,/:;=?@[\\]^`{|}"),  # the query of JavaScript's URL
    Percent("!$%&'()*+,"),  # its user and password
)


def percent_forms(text: bytes) -> Iterator[str]:
    """A part of a URL, as each of PERCENT writes it."""
    for row in PERCENT:
        form = quote(text, row.safe + " " if row.plus else row.safe)
        form = form.replace(" ", "+") if row.plus else form
        form = form if row.tilde else form.replace("~", "%7E")
        yield form
        if row.lower:
            yield _lower_case(form)


def _lower_case(percent: str) -> str:
    """Returns a text with its hex digits behind % in lower case."""
    head, *parts = percent.split("%")
    return "%".join([head, *(part[:2].lower() + part[2:] for part in parts)])
