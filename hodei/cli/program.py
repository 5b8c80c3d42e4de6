"""A command as a program: whatever the terminal, the pipe or the disk behind it can take, its
errors are one line and no traceback."""

import codecs
import errno
import io
import os
import sys
from typing import IO, Any, NoReturn

import click

from hodei.domain.text import shown

BROKEN_PIPE = 141
"""Exit code after a broken pipe, as a shell says it of a program that SIGPIPE ended."""

INTERRUPTED = 130

PLAIN = {"─": "-", "…": "...", "→": "->", "⇔": "<=>", "·": "-", "–": "-"}
"""What is shown for characters of our own words where a terminal does not have them."""


def run(command: click.Command, name: str, **more: Any) -> NoReturn:
    """Ends the process with the command's exit code."""
    _take_any_text()
    code = _outcome(command, name, more)
    sys.exit(_flushed(name, code))


def _take_any_text() -> None:
    """Makes every text printable: a closed stream becomes one that nobody reads, and a character
    that a stream cannot encode is shown as another one."""
    codecs.register_error("hodei.plain", _plain)
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: PTH123, SIM115  it lives as long as we do
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="hodei.plain")


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    chars = error.object[error.start : error.end]
    plain = (PLAIN.get(c) or c.encode("ascii", "backslashreplace").decode() for c in chars)
    return "".join(plain), error.end


def _outcome(command: click.Command, name: str, more: dict[str, Any]) -> int:
    ours = sys.stdout
    try:
        ended = command.main(prog_name=name, standalone_mode=False, **more)
    except SystemExit as end:
        broken = (
            sys.stdout is not ours
        )  # click puts a silent one in its place, and makes 1 of a broken pipe
        ended = BROKEN_PIPE if broken else end.code
    except click.ClickException as error:
        _say(error)
        ended = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        ended = INTERRUPTED
    except UnicodeEncodeError as error:
        ended = _fail(f"expected text in UTF-8, got {error.object[:80]!r}")
    except OSError as error:
        ended = (
            _failed_write(error)
            if error.filename is None
            else _fail(f"{error.filename}: {error.strerror}")
        )
    return ended if isinstance(ended, int) else int(ended is not None)


def _say(error: click.ClickException) -> None:
    """Shows usage and hint as click has them, and the message, which may quote what somebody else
    wrote, with its controls escaped."""
    words = "\n".join(shown(line) for line in error.format_message().split("\n"))
    error.format_message = lambda: words  # type: ignore[method-assign]
    try:
        error.show()
    except OSError:
        pass  # nobody can be told


def _fail(words: str) -> int:
    try:
        click.echo(f"Error: {shown(words)}", err=True)
    except OSError:
        pass  # nobody can be told
    return 1


def _failed_write(error: OSError) -> int:
    if error.errno == errno.EPIPE:
        return BROKEN_PIPE
    return _fail(f"cannot write the output: {error.strerror or error}")


def _flushed(name: str, code: int) -> int:
    """Writes what is still to be written, as in the interpreter's last moments nobody could catch its
    failure. Returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            failed = _failed_write(error)
            code = code if code not in (0, 1) else failed
            _discard(stream)
    return code


def _discard(stream: IO[str]) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
