"""What is said before a program's log is set up: what is wrong with an option or a setting, with the
output of its help, or with the program itself. Who reads a log of JSON gets it as lines of JSON, too."""

import errno
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import NoReturn

import click

from hodei.protocol.log.setup import configure, last_words

FLAG = "--log-format"

INTERRUPTED, BROKEN_PIPE = 130, 141
"""Exit codes, as a shell gives them for SIGINT and SIGPIPE."""


def in_json(words: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Returns whether the log is to be JSON, by a command line that may be wrong elsewhere."""
    given = environment.get("HODEI_LOG_FORMAT")
    for word, following in pairwise([*words, ""]):
        if word == FLAG:
            given = following
        elif word.startswith(f"{FLAG}="):
            given = word.removeprefix(f"{FLAG}=")
    return given == "json"


def words_of(error: click.ClickException) -> str:
    """The words of an error. Those of click about a value name no flag themselves."""
    if isinstance(error, click.BadParameter) and error.param:
        return f"{max(error.param.opts, key=len)}: {error.message}"
    return error.format_message()


def run(
    command: click.Command,
    name: str,
    words: Sequence[str],
    *,
    log_format: str,
    message_of: Callable[[click.ClickException], str] = words_of,
) -> NoReturn:
    """Runs a program, and ends the process with its exit code. `message_of` puts errors into words."""
    if log_format == "json":
        configure("info", log_format, "")  # for tracebacks, and what libraries warn of
    sys.exit(_outcome(command, name, words, log_format, message_of))


def _outcome(
    command: click.Command,
    name: str,
    words: Sequence[str],
    log_format: str,
    message_of: Callable[[click.ClickException], str],
) -> int:
    """The exit code. click's own main() is not used: it writes lines of its own."""
    try:
        with command.make_context(name, list(words)) as context:
            command.invoke(context)
        return 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        last_words(message_of(error), log_format)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except OSError as error:
        if error.filename is not None or error.errno not in (errno.EPIPE, errno.ENOSPC):
            raise
        return _unwritten(error, log_format)


def _unwritten(error: OSError, log_format: str) -> int:
    """Says that the output could not be written, and lets the interpreter not try it again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    if error.errno == errno.EPIPE:
        return BROKEN_PIPE
    last_words(f"cannot write the output: {error.strerror}", log_format)
    return 1
