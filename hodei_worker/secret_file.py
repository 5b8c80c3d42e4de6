"""Secrets that are read from a file. A command line is visible to every user of the host, and child
processes inherit the environment."""

import click
from click.core import ParameterSource

from hodei.protocol.small_file import read_at_most

MOST_BYTES = 16_384
"""Bytes of a file that holds one secret. A longer file is refused: it must be a different one."""


class BadFile(click.ClickException):
    """The message says in one line what is wrong with the file. It never shows its content."""

    exit_code = 2


def value_of(context: click.Context, name: str) -> str | None:
    """Returns the value of the options `--NAME` and `--NAME-file`. The command line goes first,
    then the file that the environment names, then the value in the environment; without blanks
    around it, as a variable made from a file may end with that file's end of line. Raises UsageError
    if both are on the command line, and BadFile."""
    file = f"{name}_file"
    flags = [
        n for n in (name, file) if context.get_parameter_source(n) is ParameterSource.COMMANDLINE
    ]
    spelled = f"--{name.replace('_', '-')}"
    if len(flags) == 2:
        raise click.UsageError(f"{spelled}: expected it or {spelled}-file, got both")
    if context.params[file] and flags != [name]:
        return read(context.params[file], f"{spelled}-file")
    return (context.params[name] or "").strip() or None


def read(path: str, flag: str) -> str:
    """Returns the file's one line without blanks around it. Raises BadFile."""
    try:
        text = read_at_most(path, MOST_BYTES + 1)
        secret = text.decode().strip()
    except OSError as error:
        raise BadFile(f"{flag} {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise BadFile(f"{flag} {path}: expected one line of text, got other bytes") from None
    if not secret:
        raise BadFile(f"{flag} {path}: expected one line of text, got an empty file")
    if len(text) > MOST_BYTES or len(secret.splitlines()) > 1:
        raise BadFile(f"{flag} {path}: expected one line of at most {MOST_BYTES} bytes, got more")
    if not secret.isprintable():
        raise BadFile(
            f"{flag} {path}: expected one line of text, got a character in it that cannot be"
            " printed, as NUL or a byte order mark"
        )
    return secret
