"""A command as a program: whatever the terminal, the pipe or the disk behind it can take, its
errors are one line and no traceback."""

import codecs
import errno
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import IO, NoReturn

import click

from hodei.cli import errors, unreadable
from hodei.domain.text import words_of
from hodei.protocol import grpc_lines, standard_streams
from hodei.shapes.error import ErrorKind

BROKEN_PIPE = 141
"""Exit code after a broken pipe, as a shell says it of a program that SIGPIPE ended."""

INTERRUPTED = 130

PLAIN = {"─": "-", "…": "...", "→": "->", "⇔": "<=>", "·": "-", "–": "-"}
"""What is shown for characters of our own words where a terminal does not have them."""


def run(
    command: click.Command,
    name: str,
    *,
    args: Sequence[str] | None = None,
    failed: int = 1,
    tracebacks: bool = True,
) -> NoReturn:
    """Ends the process with the command's exit code: `failed` for what could not be done and has no
    code of its own. Without `tracebacks` a defect of ours is one line too."""
    standard_streams.fill()
    _take_any_text()
    words = sys.argv[1:] if args is None else list(args)
    unreadable.begin()
    told = Told(failed, as_json=errors.wants_document(words, os.environ))
    # Before the command, whatever imports gRPC first.
    grpc_lines.silence(also_asked_for=told.as_json)
    code = _outcome(command, name, words, told, tracebacks=tracebacks)
    sys.exit(_flushed(code, told))


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


@dataclass
class Told:
    """How errors are told, and the exit code of those that have none of their own."""

    failed: int
    as_json: bool
    has_told: bool = False

    def of(self, error: click.ClickException) -> int:
        """Tells it if it is the first, and returns the exit code. What could not be written fails once
        more when streams are flushed at the end."""
        shown_as = errors.described(error, self.failed)
        try:
            if not self.has_told:
                errors.tell(error, shown_as, as_json=self.as_json)
        except OSError:
            pass  # nobody can be told
        self.has_told = True
        return shown_as.exit_code

    def words(self, words: str, kind: ErrorKind = ErrorKind.FAILED) -> int:
        return self.of(errors.Failure(words, kind))


def _outcome(
    command: click.Command, name: str, args: list[str], told: Told, *, tracebacks: bool
) -> int:
    ours = sys.stdout
    try:
        ended = command.main(args=args, prog_name=name, standalone_mode=False)
    except SystemExit as end:
        broken = (
            sys.stdout is not ours
        )  # click puts a silent one in its place, and makes 1 of a broken pipe
        ended = BROKEN_PIPE if broken else end.code
    except click.ClickException as error:
        ended = told.of(error)
    except (click.Abort, KeyboardInterrupt):
        ended = INTERRUPTED
    except UnicodeEncodeError as error:
        ended = told.words(f"expected text in UTF-8, got {error.object[:80]!r}", ErrorKind.INVALID)
    except OSError as error:
        ended = _failed_file(error, told)
    except Exception as error:
        if tracebacks or os.environ.get("HODEI_TRACEBACK"):
            raise
        what = f"{type(error).__name__}: {words_of(error)}"
        hint = "this is a defect of Hodei; HODEI_TRACEBACK=1 shows where it is"
        ended = told.words(unreadable.words(error) or f"{what[:400]}; {hint}", ErrorKind.INTERNAL)
    return ended if isinstance(ended, int) else int(ended is not None)


def _failed_file(error: OSError, told: Told) -> int:
    if error.filename is None:
        return _failed_write(error, told)
    return told.words(f"{error.filename}: {error.strerror}")


def _failed_write(error: OSError, told: Told) -> int:
    if error.errno == errno.EPIPE:
        return BROKEN_PIPE
    return told.words(f"cannot write the output: {error.strerror or error}")


def _flushed(code: int, told: Told) -> int:
    """Writes what is still to be written, as in the interpreter's last moments nobody could catch its
    failure. Returns the exit code."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError as error:
            failed = _failed_write(error, told)
            code = code if code not in (0, told.failed) else failed
            _discard(stream)
    return code


def _discard(stream: IO[str]) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
