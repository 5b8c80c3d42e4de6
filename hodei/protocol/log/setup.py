"""What is logged and where to: loguru to stderr, with levels for each part from HODEI_LOG."""

import io
import sys
from typing import TYPE_CHECKING, cast

from loguru import logger

from hodei.domain.text import shown
from hodei.protocol.log.others import intercept
from hodei.protocol.log.stream import Lines
from hodei.protocol.log.writer import Writer, set_aside

if TYPE_CHECKING:
    from loguru import FilterDict

LEVELS = ("trace", "debug", "info", "success", "warning", "error", "critical")


def configure(level: str, log_format: str, parts: str, **about: str) -> None:
    """ValueError says what is wrong with a level.

    `parts`: as HODEI_LOG, "info,hodei.flow=debug"; a bare level in it replaces `level`. `about`
    goes into every line.
    """
    levels: dict[str | None, str] = {"": _level(level)}
    for part in filter(None, (p.strip() for p in parts.split(","))):
        name, separator, value = part.rpartition("=")
        levels[name if separator else ""] = _level(value)
    if isinstance(sys.stderr, io.TextIOWrapper) and log_format == "json":
        sys.stderr.reconfigure(encoding="utf-8", errors="backslashreplace")  # whatever the locale
    lowest = min(logger.level(name).no for name in levels.values())
    logger.remove()
    extra = {key: value for key, value in about.items() if value}
    logger.configure(extra=extra, patcher=set_aside)
    logger.add(
        Writer(sys.stderr, as_json=log_format == "json"),
        level=lowest,  # what no part wants costs next to nothing
        filter=cast("FilterDict", levels),
        format=lambda _: "",  # the writer forms lines, from the record
        colorize=False,
        backtrace=False,
        diagnose=False,  # would print the values of variables, secrets among them
    )
    intercept({name: logger.level(value).no for name, value in levels.items() if name})


def _level(name: str) -> str:
    if name.lower() not in LEVELS:
        raise ValueError(f"log level: expected one of {', '.join(LEVELS)}, got {name!r}")
    return name.upper()


def last_words(words: str, log_format: str, **about: str) -> None:
    """Why the program ends: to people in plain words, to a reader of JSON as a line of it."""
    if log_format == "json":
        configure("info", log_format, "", **about)  # what is configured may be what is wrong
        logger.critical("{}", words)
    else:
        Lines(sys.stderr).write(f"Error: {shown(words)}\n")
