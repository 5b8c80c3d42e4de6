"""How this call connects to servers, apart from their addresses: the flags for TLS, which stand
anywhere on the command line."""

from typing import NamedTuple

import click

from hodei.tls.caller import FLAGS, VARIABLES, Tls

KEY = "hodei.connection"
"""Where click's context has them."""


class Connection(NamedTuple):
    """What the command line and the environment say."""

    every_tls: bool
    """--tls: also an address without https:// has TLS."""

    tls: Tls


def note(ctx: click.Context, flag: str, value: str | bool) -> None:
    """Keeps the value of a flag; that of a command is noted after that of `hodei` itself."""
    ctx.meta.setdefault(KEY, {})[flag] = value


def of_this_call() -> Connection:
    """Where there is no call of the command line, nothing was said."""
    context = click.get_current_context(silent=True)
    said = context.meta.get(KEY, {}) if context else {}
    return Connection(bool(said.get("--tls")), Tls(*(said.get(flag) for flag in FLAGS)))


def as_environment() -> dict[str, str]:
    """The same for a program that is started in our place."""
    every_tls, tls = of_this_call()
    said = {name: value for name, value in zip(VARIABLES, tls, strict=True) if value}
    return said | ({"HODEI_TLS": "1"} if every_tls else {})
