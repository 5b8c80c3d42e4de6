"""The flags that stand before a command or after it: --server, --tls and its like, --utc, --version;
and what else every command gets: the names of its flags in the environment."""

import os
from collections.abc import Sequence
from typing import Any

import click
from click.core import ParameterSource

import hodei
from hodei.cli import connection, contexts, show
from hodei.cli.errors import Failure
from hodei.tls.caller import FLAGS, VARIABLES
from hodei_worker.flags import empty_refused, refuse_empty, whole_numbers

ABOUT = "Also: --server, --tls…, --utc, --version and --help, as `hodei --help` explains them."


class GlobalFlag(click.Option):
    """A flag of `hodei` itself. In the help of a command only ABOUT tells of it."""

    def __init__(self, *args: Any, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        refuse_empty(self)


def _server(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    """Of the root command the context of `hodei login` goes before the default."""
    if value is None:
        return
    chosen = None
    if ctx.get_parameter_source(param.name or "") is ParameterSource.DEFAULT:
        chosen = _context()
    connection.note_context(ctx, chosen)
    ctx.obj = chosen.server if isinstance(chosen, contexts.Context) else value


def _context() -> contexts.Context | Failure | None:
    """The context that is used, or what is wrong with it, which only commands that ask a server
    tell."""
    try:
        return contexts.read().chosen(os.environ)
    except Failure as failure:
        return failure


def _note_tls(ctx: click.Context, param: click.Parameter, value: str | bool | None) -> None:
    if value:
        connection.note(ctx, param.opts[0], value)


def _utc(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        ctx.meta[show.UTC_KEY] = True


def _format(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    ctx.meta[show.FORMAT_KEY] = value


def _version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"hodei, version {hodei.__version__}")
        ctx.exit()


def everywhere(*, of_root: bool) -> list[GlobalFlag]:
    """The flags that any command takes. Only those of the root command come from the environment
    and have defaults: the others are set where they are given."""
    own: dict[str, Any] = {"expose_value": False, "hidden": not of_root, "show_envvar": True}
    return [
        GlobalFlag(
            ["--server"],
            callback=_server,
            envvar=["HODEI_SERVER_ADDRESS", "HODEI_SERVER"] if of_root else None,
            default="127.0.0.1:50051" if of_root else None,
            metavar="HOST:PORT[,…]",
            help="Any server will do; the first that serves is used. https://HOST:PORT means TLS.",
            **own,
        ),
        *_for_tls(own, of_root=of_root),
        GlobalFlag(
            ["--utc"],
            callback=_utc,
            envvar="HODEI_UTC" if of_root else None,
            is_flag=True,
            help="Show times in UTC, not in local time.",
            **own,
        ),
        GlobalFlag(
            ["--version"],
            callback=_version,
            is_flag=True,
            is_eager=True,
            help="Show the version and exit.",
            **own,
        ),
    ]


def _for_tls(own: dict[str, Any], *, of_root: bool) -> list[GlobalFlag]:
    whether = GlobalFlag(
        ["--tls"],
        callback=_note_tls,
        envvar="HODEI_TLS" if of_root else None,
        is_flag=True,
        help="TLS also for addresses without https://.",
        **own,
    )
    texts = (
        ("FILE", "Trust the CAs in FILE (PEM), not those of the system."),
        ("NAME", "Expect this name in the server's certificate, not the address's host."),
        ("FILE", "The certificate to show to a server that asks for one, in PEM."),
        ("FILE", "The private key of that certificate."),
    )
    return [
        whether,
        *(
            GlobalFlag(
                [flag],
                callback=_note_tls,
                envvar=variable if of_root else None,
                metavar=metavar,
                help=words,
                **own,
            )
            for flag, variable, (metavar, words) in zip(FLAGS, VARIABLES, texts, strict=True)
        ),
    ]


def of_root() -> list[GlobalFlag]:
    """The flags of `hodei` itself. --format stands before a command for all that know formats; those
    have a flag of their own after it."""
    form = GlobalFlag(
        ["-o", "--format", "output"],
        callback=_format,
        expose_value=False,
        envvar="HODEI_FORMAT",
        show_envvar=True,
        type=click.Choice(show.FORMATS),
        help="How commands print that know formats: for people, or as one document. Errors follow it.",
    )
    server, *others = everywhere(of_root=True)
    return [server, form, *others]


def prepare(command: click.Command, words: Sequence[str]) -> None:
    """Gives a command, called as these words, the global flags that it has not itself, and each of
    its own flags a name in the environment: HODEI_, the words and the flag. None takes an empty text,
    or a whole number that is not digits. Once is enough."""
    if any(isinstance(param, GlobalFlag) for param in command.params):
        return
    for option in command.params:
        if isinstance(option, click.Option):
            _name_in_environment(option, words)
    empty_refused(whole_numbers(command))
    taken = {spelled for param in command.params for spelled in param.opts}
    command.params += [f for f in everywhere(of_root=False) if not taken.intersection(f.opts)]
    command.epilog = f"{command.epilog or ''}\n\n{ABOUT}".lstrip()


def _name_in_environment(option: click.Option, words: Sequence[str]) -> None:
    if not option.allow_from_autoenv:
        return
    option.show_envvar = True
    if option.default == "" and not isinstance(option.show_default, str):
        option.show_default = False  # nothing is what it says
    if option.envvar is None:
        flag = max(option.opts, key=len).lstrip("-")
        option.envvar = "_".join(["HODEI", *words, flag]).replace("-", "_").upper()
