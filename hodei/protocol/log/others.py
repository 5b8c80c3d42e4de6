"""What others say, through our writer: libraries, warnings, the event loop, the interpreter itself.

gRPC's core writes to stderr by itself, and is told to be silent before it is imported
(../grpc_lines.py); its statuses come as exceptions, and its Python part logs as others do.
"""

import logging
import re
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING

from loguru import logger

from hodei.domain.text import words_of
from hodei.protocol.log.writer import THREAD

if TYPE_CHECKING:
    from loguru import Record

CALL = re.compile(r"\(.*\)", re.DOTALL)
"""The arguments of a call, as asyncio quotes them: values of variables."""


class Intercept(logging.Handler):
    """A line of the standard logging as one of loguru's, under its own name and level."""

    def emit(self, record: logging.LogRecord) -> None:
        level: str | int = record.levelname if record.levelname in STANDARD else record.levelno
        if level == "WARNING" and record.name.startswith(MENDS_ITSELF):
            level = "DEBUG"
        exception = record.exc_info if record.exc_info and record.exc_info[0] else None
        if exception and exception[0] and exception[0].__name__ == NOT_SENT:
            level, exception = "DEBUG", None
        theirs = logger.patch(lambda ours: _rename(ours, record.name)).bind(component=record.name)
        theirs = theirs.opt(exception=exception)
        text = words(record)
        in_turn(lambda: theirs.log(level, "{}", text))


def _rename(ours: "Record", name: str) -> None:
    ours["name"] = name  # by which levels of parts are looked up


MENDS_ITSELF = "psycopg"
"""Its pool warns of each connection that it replaces, once a second while the database is away, also
when a server ends. Whoever then waits in vain for a connection says so."""

NOT_SENT = "ExecuteBatchError"
"""The error that gRPC logs, with its traceback, for a client that leaves while its answer is sent."""

STANDARD = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


def words(record: logging.LogRecord) -> str:
    """Its message, with errors among its arguments in our words (PostgreSQL's own quote rows)."""
    args = record.args
    if isinstance(args, tuple):
        args = tuple(words_of(arg) if isinstance(arg, BaseException) else arg for arg in args)
    elif isinstance(args, Mapping):
        args = {k: words_of(v) if isinstance(v, BaseException) else v for k, v in args.items()}
    try:
        message = str(record.msg) % args if args else str(record.msg)
    except Exception:  # noqa: BLE001  whatever their arguments do: the line is said without them
        message = str(record.msg)
    if record.name == "asyncio":  # the lines below name tasks and handles by their values
        return CALL.sub("(…)", message.partition("\n")[0])
    return message


def intercept(levels: Mapping[str, int]) -> None:
    """From WARNING on, unless a part's own level is said (`HODEI_LOG=info,psycopg=debug`)."""
    logging.captureWarnings(True)
    logging.root.handlers = [Intercept()]
    logging.root.setLevel(logging.WARNING)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    sys.excepthook = _uncaught
    threading.excepthook = lambda said: _of_thread(said.exc_value)
    sys.unraisablehook = lambda said: _unraisable(said.exc_value)


def _uncaught(kind: type[BaseException], error: BaseException, _: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        logger.warning("interrupted")
        return
    logger.opt(exception=error).critical("the program ends by a fault of its own")


def _of_thread(error: BaseException | None) -> None:
    if error is not None and not isinstance(error, SystemExit):
        logger.opt(exception=error).error("a thread ended by a fault of this program")


def _unraisable(error: BaseException | None) -> None:
    if error is not None:
        said = logger.opt(exception=error)
        in_turn(lambda: said.error("an exception was raised where none can be handled"))


def in_turn(say: Callable[[], None]) -> None:
    """At once, or by a thread that waits for its turn where this one is about to write a line:
    there, too, garbage is collected, which warns or raises, and loguru would write its own words.
    What comes so when the interpreter ends, which starts no thread, is lost."""
    if not THREAD.writes:
        say()
        return
    with suppress(RuntimeError):
        threading.Thread(target=say).start()
