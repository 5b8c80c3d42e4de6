"""Exceptions in a log: where they were raised, in our files; never the values of variables.

Of an error of PostgreSQL only its class, SQLSTATE and primary message: its DETAIL, HINT and CONTEXT
quote rows. That holds at every depth of causes, contexts and groups.
"""

import linecache
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from hodei.domain.text import shown, words_of

ROOT = str(Path(__file__).parents[3])
OURS = (f"{ROOT}/hodei/", f"{ROOT}/hodei_worker/")

MOST_FRAMES = 20
"""Of one exception, the innermost ones: those of an endless recursion are alike."""

MOST_DEPTH, MOST_MEMBERS = 10, 5
"""Of causes and groups within each other; of a group's members, which mostly say the same."""

MOST_WORDS = 4000
"""Characters of one exception's message."""


def kind_of(error: BaseException) -> str:
    kind = type(error)
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def message_of(error: BaseException) -> str:
    """'' for what the driver says without PostgreSQL: it may quote a URL."""
    if hasattr(error, "sqlstate") and not error.sqlstate:
        return ""
    words = words_of(error)
    if words == type(error).__name__:  # it has none
        return ""
    return words if len(words) <= MOST_WORDS else f"{words[:MOST_WORDS]}…"


def traceback_of(error: BaseException) -> str:
    """Lines as Python has them, causes first; each line's text on that line."""
    return "\n".join(_lines(error, set(), MOST_DEPTH))


def _lines(error: BaseException, seen: set[int], depth: int) -> Iterator[str]:
    seen.add(id(error))
    cause, words = error.__cause__, "was the direct cause of"
    if cause is None and not error.__suppress_context__:
        cause, words = error.__context__, "was being handled during"
    if cause is not None and id(cause) not in seen and depth:
        yield from _lines(cause, seen, depth - 1)
        yield f"The above exception {words} the following one:"
    yield "Traceback (most recent call last):"
    yield from _frames(error.__traceback__)
    message = message_of(error)
    yield f"{kind_of(error)}: {message}" if message else kind_of(error)
    if isinstance(error, BaseExceptionGroup) and depth:
        for member in error.exceptions[:MOST_MEMBERS]:
            yield from (f"  | {line}" for line in _lines(member, seen, depth - 1))
        if len(error.exceptions) > MOST_MEMBERS:
            yield f"  | … and {len(error.exceptions) - MOST_MEMBERS} more"


def _frames(traceback: TracebackType | None) -> list[str]:
    """Ours, and the one that raised it, whosever that is."""
    frames: list[str] = []
    while traceback is not None:
        code = traceback.tb_frame.f_code
        if code.co_filename.startswith(OURS) or traceback.tb_next is None:
            name = code.co_filename.removeprefix(f"{ROOT}/")
            number = traceback.tb_lineno
            source = linecache.getline(code.co_filename, number).strip()
            frames.append(shown(f'  File "{name}", line {number}, in {code.co_qualname}'))
            if source:
                frames.append(shown(f"    {source}"))
        traceback = traceback.tb_next
    return frames[-2 * MOST_FRAMES :]
