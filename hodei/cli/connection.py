"""How this call connects to servers, apart from their addresses: the flags for TLS, which stand
anywhere on the command line, and the context that says the servers."""

from typing import NamedTuple

import click

from hodei.cli.contexts import Context
from hodei.cli.errors import Failure
from hodei.tls.caller import FLAGS, VARIABLES, Tls

KEY = "hodei.connection"
CONTEXT_KEY = "hodei.context"
"""Where click's context has them."""


class Connection(NamedTuple):
    """What the command line and the environment say."""

    every_tls: bool
    """--tls: also an address without https:// has TLS."""

    tls: Tls

    context: Context | None = None
    """That of `hodei login`, if the servers were taken from it."""


def note_context(ctx: click.Context, chosen: Context | Failure | None) -> None:
    """Keeps the context that says the servers, or what is wrong with it; None: a flag says them
    after all."""
    ctx.meta[CONTEXT_KEY] = chosen


def note(ctx: click.Context, flag: str, value: str | bool) -> None:
    """Keeps the value of a flag; that of a command is noted after that of `hodei` itself."""
    ctx.meta.setdefault(KEY, {})[flag] = value


def of_this_call() -> Connection:
    """Where there is no call of the command line, nothing was said. Failure: the context that says the
    servers cannot be used; commands that ask no server do without it."""
    context = click.get_current_context(silent=True)
    said = context.meta.get(KEY, {}) if context else {}
    chosen = context.meta.get(CONTEXT_KEY) if context else None
    if isinstance(chosen, Failure):
        raise chosen
    tls = Tls(*(said.get(flag) for flag in FLAGS))
    return Connection(bool(said.get("--tls")), _over(chosen, tls) if chosen else tls, chosen)


def _over(chosen: Context, said: Tls) -> Tls:
    """What is said, and what the context has of the rest. A certificate and its key are one."""
    own = (said.cert, said.key)
    cert, key = own if any(own) else (chosen.tls_cert or None, chosen.tls_key or None)
    return Tls(said.ca or chosen.tls_ca or None, said.name or chosen.tls_name or None, cert, key)


def as_environment() -> dict[str, str]:
    """The same for a program that is started in our place."""
    every_tls, tls, _ = of_this_call()
    said = {name: value for name, value in zip(VARIABLES, tls, strict=True) if value}
    return said | ({"HODEI_TLS": "1"} if every_tls else {})
