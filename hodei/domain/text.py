"""Text of others (names, actors, reasons, messages) made safe to show.

No line is forged by it, and no escape of it reaches a terminal.
"""

import re

_UNSHOWABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Controls (C0, DEL, C1), ends of lines and marks of direction, and what UTF-8 cannot hold."""

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def shown(text: str) -> str:
    """On one line, with controls as `\\n`, `\\x1b`, `\\u202e`.

    A backslash stays as it is: the text is for eyes, and not to be read back by a program.
    """
    if text.isprintable():  # nearly always, and found out faster than by the expression
        return text
    return _UNSHOWABLE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    char = found.group()
    number = ord(char)
    return _SHORT.get(char) or (f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}")
