"""Text of others (names, actors, reasons, messages) made safe to show.

No line is forged by it, and no escape of it reaches a terminal.
"""

import re

_CONTROLS = "\x00-\x1f\x7f-\x9f"
_UNSHOWABLE = re.compile(f"[{_CONTROLS}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that are not shown: controls (C0, DEL, C1), ends of lines, marks of direction, and
what UTF-8 cannot hold."""

_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def shown(text: str) -> str:
    """Returns text on one line, with controls as `\\n`, `\\x1b`, `\\u202e`.

    A backslash stays as it is: the text is for eyes, and not to be read back by a program.
    """
    if text.isprintable():  # nearly always, and found out faster than by the expression
        return text
    return _UNSHOWABLE.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    char = found.group()
    number = ord(char)
    return _SHORT.get(char) or (f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}")


def shown_json(text: str) -> str:
    """Returns JSON of the same value, in which characters that a terminal obeys are JSON's own
    `\\u009b`."""
    if text.isprintable():
        return text
    return _UNSHOWABLE.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def words_of(error: BaseException) -> str:
    """Returns an error on one line, fit for a log.

    Errors of PostgreSQL are shown by their primary message and SQLSTATE: DETAIL, HINT and CONTEXT
    quote rows, the environment of jobs among them. (They are known by their attributes: nothing is
    imported here.) An error of the driver itself is shown by its first line.
    """
    if hasattr(error, "sqlstate"):
        primary = getattr(getattr(error, "diag", None), "message_primary", None)
        if primary:
            return shown(f"{primary} (SQLSTATE {error.sqlstate})")
    try:
        lines = str(error).strip().splitlines()
    except Exception:  # noqa: BLE001  an error whose words fail is still to be named
        lines = []
    if hasattr(error, "sqlstate"):
        lines = lines[:1]
    return shown("\n".join(lines)) or type(error).__name__
