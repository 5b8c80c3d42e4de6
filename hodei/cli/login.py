"""`hodei login` and `hodei context …`."""

import os
import sys
from pathlib import Path

import click

from hodei.cli import contexts, show
from hodei.cli.client import addresses, connect
from hodei.cli.connection import of_this_call
from hodei.cli.contexts import Context, Contexts
from hodei.cli.errors import Failure
from hodei.cli.groups import Group
from hodei.cli.older_server import unless_older
from hodei.cli.say import say
from hodei.cli.unquoted import Unquoted
from hodei.domain.text import shown
from hodei.protocol import api_key
from hodei.shapes import local as shapes
from hodei.shapes import wire
from hodei.shapes.access import Identity
from hodei.shapes.error import ErrorKind

BEFORE_IT = ("HODEI_SERVER_ADDRESS", "HODEI_SERVER", api_key.VARIABLE, api_key.FILE_VARIABLE)
"""Variables that go before a context."""


@click.command(
    cls=Unquoted,
    instead=f"the key comes from standard input, {api_key.FILE_VARIABLE} or {api_key.VARIABLE}",
    epilog="\b\nExample:\n  hodei login --server https://server-1:50051 --tls-ca ca.pem"
    "\n  hodei login --name staging --server https://staging:50051 < key",
)
@click.option("--name", default="default", show_default=True, help="The context's name.")
@show.format_option
@click.pass_obj
def login(servers: str, name: str, output: str) -> None:
    """Keep the servers, what TLS needs and an API key for further commands. The key is asked for, or read
    from standard input, unless HODEI_API_KEY_FILE or HODEI_API_KEY has it."""
    name = contexts.check_name(name)
    known = contexts.read()
    servers = ",".join(map(str, addresses(servers, tls=of_this_call().every_tls)))
    key = _key()
    who = _identity(servers, key)
    place = contexts.write(_with(known, name, servers, key))
    if not show.emit(output, who):
        of = f" of project {who.project}" if who.project else ""
        click.echo(
            shown(
                f"{servers} knows this key as {who.actor}, role {who.role}{of}; context {name} is used from now on ({place})"
            )
        )
    for variable in BEFORE_IT:
        if os.environ.get(variable):
            say(f"hodei: {variable} is set, and goes before the context")


def _key() -> str:
    try:
        if key := api_key.from_environment(os.environ):
            return key
        if sys.stdin.isatty():
            text = click.prompt("API key", hide_input=True, err=True)
        else:
            text = sys.stdin.buffer.read(api_key.MOST_BYTES).decode(errors="replace")
        return api_key.checked(text, "standard input")
    except api_key.BadKey as error:
        raise Failure(str(error), ErrorKind.UNAUTHENTICATED) from None


def _identity(servers: str, key: str) -> Identity:
    """Who the servers say the key is. Failure: they do not take it."""
    from hodei.protocol import hodei_pb2 as pb

    with (
        connect(servers, key=key) as client,
        unless_older(client, "has no API keys: upgrade it"),
    ):
        return wire.read(Identity, client.call(client.access.WhoAmI, pb.WhoAmIRequest()))


def _with(known: Contexts, name: str, servers: str, key: str) -> Contexts:
    tls = of_this_call().tls
    ca, cert, own_key = (str(Path(f).absolute()) if f else "" for f in (tls.ca, tls.cert, tls.key))
    made = Context(servers, key, ca, tls.name or "", cert, own_key)
    return Contexts(known.by_name | {name: made}, name)


@click.group(cls=Group, epilog="\b\nExample:\n  hodei context use staging")
def context() -> None:
    """List, choose and remove the contexts that `hodei login` has made. HODEI_CONTEXT chooses one for
    a single command."""


@context.command(name="list", epilog="\b\nExample:\n  hodei context list")
@show.format_option
def list_contexts(output: str) -> None:
    """The contexts, and which of them is used."""
    known = contexts.read()
    found = [_shape(known, name) for name in sorted(known.by_name)]
    if show.emit(output, found):
        return
    show.table(
        [
            show.Column("context"),
            show.Column("used"),
            show.Column("server", cut=True),
            show.Column("key", leaves=2),
            show.Column("ca", leaves=1, cut=True),
        ],
        [
            [one.name, "yes" if one.used else "", one.server, one.key_id, one.tls_ca or ""]
            for one in found
        ],
        none="no contexts: `hodei login` makes one",
    )


def _shape(known: Contexts, name: str) -> shapes.Context:
    one = known.by_name[name]
    return shapes.Context(
        name=name,
        used=name == (os.environ.get(contexts.VARIABLE) or known.current),
        server=one.server,
        key_id=_id_of(one.api_key),
        tls_ca=one.tls_ca or None,
        tls_name=one.tls_name or None,
        tls_cert=one.tls_cert or None,
        tls_key=one.tls_key or None,
    )


def _id_of(key: str) -> str:
    """The id of a key, which is no secret."""
    return [*key.split("_"), "", "", ""][2][:20]


@context.command(epilog="\b\nExample:\n  hodei context use staging")
@click.argument("name")
@show.format_option
def use(name: str, output: str) -> None:
    """Use this context from now on."""
    known = contexts.read()
    changed = Contexts(known.by_name, _known(known, name))
    contexts.write(changed)
    if not show.emit(output, _shape(changed, name)):
        click.echo(shown(f"context {name} is used from now on"))
    if os.environ.get(contexts.VARIABLE):
        say(f"hodei: {contexts.VARIABLE} is set, and goes before that")


@context.command(epilog="\b\nExample:\n  hodei context remove staging")
@click.argument("name")
@show.format_option
def remove(name: str, output: str) -> None:
    """Forget a context with its key. The key itself stays valid: `hodei apikey revoke` ends it."""
    known = contexts.read()
    gone = _known(known, name)
    rest = {other: one for other, one in known.by_name.items() if other != gone}
    contexts.write(Contexts(rest, "" if known.current == gone else known.current))
    if not show.emit(output, _shape(known, name)):
        click.echo(shown(f"context {name} is removed; its API key stays valid"))


def _known(known: Contexts, name: str) -> str:
    if name not in known.by_name:
        names = ", ".join(sorted(known.by_name)) or "none"
        raise Failure(
            f"no context {name[:80]!r}: expected one of them ({names})", ErrorKind.NOT_FOUND
        )
    return name
