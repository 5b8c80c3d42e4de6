"""Named contexts: where servers are, whom to trust, and the API key, in a file of the user's own.

A context's key goes only to the servers of that context. Flags and the environment go before it."""

import json
import os
import re
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click

from hodei.cli.errors import Failure

NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._@-]{0,62}")
NAME_SHAPE = "1 to 63 letters, digits and . _ @ -, with a letter or a digit first"

MOST_BYTES = 1 << 20
"""Bytes of the file. A longer file is refused."""

VARIABLE = "HODEI_CONTEXT"


class Context(NamedTuple):
    """What `hodei login` keeps."""

    server: str  # as --server takes it, with https:// before each address that has TLS
    api_key: str
    tls_ca: str = ""  # the path of a file; empty: the CAs of the system
    tls_name: str = ""  # empty: the host of the address
    tls_cert: str = ""  # the path of a file, as tls_key; both are empty, or none is
    tls_key: str = ""


class Contexts(NamedTuple):
    """All of them, and the name of the one that is used."""

    by_name: dict[str, Context]
    current: str

    def chosen(self, environment: Mapping[str, str]) -> Context | None:
        """The context that is used; None: there is none. Failure: the environment names one that
        there is not."""
        name = environment.get(VARIABLE)
        if name and name not in self.by_name:
            known = ", ".join(sorted(self.by_name)) or "none"
            raise Failure(
                f"{VARIABLE}: expected one of the contexts of `hodei context list` ({known}), got {name[:80]!r}"
            )
        return self.by_name.get(name or self.current)


NONE = Contexts({}, "")


def path() -> Path | None:
    """Where the file is: in XDG_CONFIG_HOME, or else in ~/.config. None: there is no home."""
    if base := os.environ.get("XDG_CONFIG_HOME"):
        return Path(base) / "hodei" / "contexts.json"
    try:
        return Path.home() / ".config" / "hodei" / "contexts.json"
    except RuntimeError:
        return None


def read() -> Contexts:
    """The contexts of this user. Failure: the file is not one that we wrote, or others may read
    it."""
    place = path()
    if place is None:
        return NONE
    try:
        with place.open("rb") as file:
            others = stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077
            found = file.read(MOST_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        return NONE
    except OSError as error:
        raise Failure(f"{place}: {error.strerror}") from None
    if others:
        raise Failure(f"{place}: other users may read it, and it holds API keys: chmod 600 {place}")
    try:
        return _parsed(json.loads(found))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise Failure(
            f"{place}: expected the contexts that `hodei login` writes, got something else; remove it and log in again"
        ) from None


def _parsed(document: Any) -> Contexts:
    by_name = {
        name: Context(*(_text(one.get(key, "")) for key in Context._fields))
        for name, one in document["contexts"].items()
    }
    return Contexts(by_name, _text(document["current"]))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def write(contexts: Contexts) -> Path:
    """Replaces the file as a whole, for this user alone; returns where it is. Failure: it cannot be
    written."""
    place = path()
    if place is None:
        raise Failure("there is no home directory for contexts: set XDG_CONFIG_HOME")
    document = {
        "current": contexts.current,
        "contexts": {name: one._asdict() for name, one in contexts.by_name.items()},
    }
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        _replace(place, json.dumps(document, indent=2).encode())
    except OSError as error:
        raise Failure(f"{place}: {error.strerror}") from None
    return place


def _replace(place: Path, content: bytes) -> None:
    handle, name = tempfile.mkstemp(dir=place.parent, prefix=".contexts-")  # of mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(place)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def check_name(name: str) -> str:
    """UsageError: it cannot be a context's name."""
    if not NAME.fullmatch(name):
        raise click.UsageError(f"--name: expected {NAME_SHAPE}, got {name[:80]!r}")
    return name
