"""Secrets that come by a file: a command line is visible to every user of the host, and an
environment is inherited."""

from pathlib import Path

import click
from click.core import ParameterSource

MOST_BYTES = 16_384
"""Of a file that holds one secret; what is longer is another file."""


class BadFile(click.ClickException):
    """What is wrong with the file, in one line, and never what it holds."""

    exit_code = 2


def value_of(context: click.Context, name: str) -> str | None:
    """Of the options `--NAME` and `--NAME-file`: what was given on the command line, else the file
    that the environment names, else the environment's value itself. BadFile; UsageError: both by
    flag."""
    file = f"{name}_file"
    flags = [
        n for n in (name, file) if context.get_parameter_source(n) is ParameterSource.COMMANDLINE
    ]
    spelled = f"--{name.replace('_', '-')}"
    if len(flags) == 2:
        raise click.UsageError(f"{spelled}: expected it or {spelled}-file, got both")
    if context.params[file] and flags != [name]:
        return read(context.params[file], f"{spelled}-file")
    return context.params[name] or None


def read(path: str, flag: str) -> str:
    """Its one line, without blanks around it."""
    try:
        with Path(path).open("rb") as file:
            text = file.read(MOST_BYTES + 1)
        secret = text.decode().strip()
    except OSError as error:
        raise BadFile(f"{flag} {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise BadFile(f"{flag} {path}: expected one line of text, got other bytes") from None
    if not secret:
        raise BadFile(f"{flag} {path}: expected one line of text, got an empty file")
    if len(text) > MOST_BYTES or not secret.isprintable():
        raise BadFile(f"{flag} {path}: expected one line of at most {MOST_BYTES} bytes, got more")
    return secret
