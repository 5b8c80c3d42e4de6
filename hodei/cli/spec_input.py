"""What a job takes from the user's side: files, standard input and environment variables."""

import base64
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from hodei.cli.say import say
from hodei.domain.secret import NAME, NAME_SHAPE
from hodei.domain.spec_keys import MOST_BYTES

ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SECRET_NAME = re.compile(NAME.removeprefix("^").removesuffix("$"))


def read_file(name: str, flag: str, most: int = MOST_BYTES, end: int = 0) -> bytes:
    """The content of a file, or of standard input for `-`. UsageError: it cannot be read, or it has
    more than `most` bytes; no more are read, so that what never ends, as /dev/zero, is refused.
    `end`: further bytes that an end of line may have, which the caller takes off."""
    try:
        if name == "-":
            if sys.stdin and sys.stdin.isatty():
                say(f"hodei: {flag} reads what you type; end it with Ctrl-D")
            data = sys.stdin.buffer.read(most + end + 1) if sys.stdin else b""
        else:
            with Path(name).open("rb") as file:
                data = file.read(most + end + 1)
    except OSError as error:
        raise click.UsageError(f"{flag} {name}: {error.strerror}") from error
    except ValueError:  # a NUL in it
        raise click.UsageError(f"{flag}: expected the name of a file, got {name!r}") from None
    if len(data) > most + end:
        raise click.UsageError(f"{flag} {name}: expected at most {most} bytes")
    return data


def read_text(name: str, flag: str) -> str:
    """The text of a file of UTF-8. UsageError: it has another encoding, or cannot be read."""
    try:
        return read_file(name, flag).decode()
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"{flag} {name}: expected UTF-8 text,"
            f" got byte {error.object[error.start]:#x} at {error.start}"
        ) from None


def stdin_keys(data: bytes) -> dict[str, str]:
    """What a job reads from its standard input, as a key of its spec."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    return {"stdin_base64": base64.b64encode(data).decode()} if "\0" in text else {"stdin": text}


def environment(files: Sequence[str], given: Sequence[str]) -> dict[str, str]:
    """The variables of the files, in their order, and over them those of the flags: of two values
    of one name the later one counts, and that of a flag before that of a file."""
    found: dict[str, str] = {}
    for name in files:
        for number, line in enumerate(read_text(name, "--env-file").split("\n"), 1):
            if (text := line.removesuffix("\r").lstrip()) and not text.startswith("#"):
                found |= _variable(text, f"--env-file {name} line {number}")
    for text in given:
        found |= _variable(text, "--env")
    return found


def _variable(text: str, where: str) -> dict[str, str]:
    """Reads NAME=VALUE, or NAME for the value that it has here. UsageError quotes nothing of another
    form: it may be a value, as a line of a key of several lines."""
    name, separator, value = text.partition("=")
    if not ENV_NAME.fullmatch(name):
        raise click.UsageError(
            f"{where}: expected NAME=VALUE, or the NAME of a variable that is set here,"
            " with a name of letters, digits and _, got another form"
        )
    if separator:
        return {name: value}
    if name not in os.environ:
        raise click.UsageError(f"{where}: {name} is not set here: set it, or give {name}=VALUE")
    return {name: os.environ[name]}


def secrets_named(given: Sequence[str]) -> dict[str, str]:
    """The names of secrets by variable, of texts VARIABLE=NAME. UsageError quotes none: what was
    given in the place of a name may be a value."""
    found: dict[str, str] = {}
    for text in given:
        variable, separator, name = text.partition("=")
        if not separator or not ENV_NAME.fullmatch(variable):
            raise click.UsageError(
                "--secret: expected VARIABLE=NAME of a secret, as TOKEN=ci-token"
            )
        if not SECRET_NAME.fullmatch(name):
            raise click.UsageError(f"--secret {variable}: expected {NAME_SHAPE}")
        found[variable] = name
    return found


def pairs(given: Sequence[str], flag: str) -> dict[str, str]:
    """The entries that texts of the form KEY=VALUE say; the last of a key counts. UsageError names
    the flag."""
    found: dict[str, str] = {}
    for text in given:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise click.UsageError(f"{flag}: expected KEY=VALUE, got {text!r}")
        found[key] = value
    return found
