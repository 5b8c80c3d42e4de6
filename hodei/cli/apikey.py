"""`hodei apikey …`."""

from typing import Any

import click

from hodei.cli import show
from hodei.cli.client import Client, caller, connect
from hodei.cli.database_url import database_url_options
from hodei.cli.groups import Group
from hodei.cli.older_server import unless_older
from hodei.domain import durations
from hodei.domain.api_key import LONGEST_S, id_of
from hodei.domain.text import shown
from hodei.shapes import wire
from hodei.shapes.access import ApiKey

EXAMPLE = """\b
Example:
  hodei apikey create --role submitter --name nightly-import --expires 90d"""

FIRST_KEY = """\b
Example:
  hodei apikey create --role submitter --name nightly-import --expires 90d
  hodei apikey create --role admin --name ana --database-url-file /etc/hodei/database-url"""

ROLES = ("viewer", "submitter", "operator", "admin", "registrar")


@click.group(cls=Group, epilog=EXAMPLE)
def apikey() -> None:
    """Create, list and revoke API keys: who may call servers, and what they may do."""


@apikey.command(epilog=FIRST_KEY)
@click.option("--role", required=True, type=click.Choice(ROLES), help="What it may do.")
@click.option(
    "--name",
    required=True,
    help="Who uses it: `api:` and the name stands in events. Two keys may have one name.",
)
@click.option("--project", default="", help="The only project that it reaches.", show_default="all")
@click.option(
    "--expires",
    default="",
    metavar="TIME",
    help="For how long it is valid, as 90d.",
    show_default="for ever",
)
@database_url_options(
    ambient=False, about="Where no key exists yet: the database itself, as postgres://…"
)
@show.format_option
@click.pass_obj
def create(
    servers: str,
    role: str,
    name: str,
    project: str,
    expires: str,
    database_url: str | None,
    output: str,
) -> None:
    """Print a new key. It is shown only now: the database has only its hash."""
    expires_s = _expires_s(expires) if expires else 0.0
    if database_url is None:
        made = _by_server(servers, role, name, project, expires_s)
    else:
        made = _by_database(database_url, role, name, project, expires_s)
    if not show.emit(output, made):
        click.echo(shown(made.key or ""))


def _expires_s(text: str) -> float:
    value = durations.seconds(text)
    if value is None or not 1 <= value <= LONGEST_S:
        raise click.UsageError(
            f"--expires: expected from 1s to {LONGEST_S // 86_400:.0f}d, as 90d or 12h,"
            f" got {text[:80]!r}"
        )
    return float(value)


def _by_server(servers: str, role: str, name: str, project: str, expires_s: float) -> ApiKey:
    from hodei.protocol import hodei_pb2 as pb

    request = pb.CreateApiKeyRequest(role=role, name=name, project=project, expires_s=expires_s)
    with connect(servers) as client:
        return wire.read(ApiKey, _asked(client, client.access.CreateApiKey, request))


def _by_database(url: str, role: str, name: str, project: str, expires_s: float) -> ApiKey:
    """As a server does it, for whoever has the database and no key yet."""
    import asyncio

    import psycopg

    from hodei.domain.errors import HodeiError
    from hodei.fleet import access, access_shapes
    from hodei.store import api_keys, schema, sqlstate
    from hodei.store.database import Database

    async def store(new: api_keys.NewKey) -> api_keys.Key | None:
        async with Database(url) as database:
            return await database.run(lambda conn: api_keys.create(conn, new))

    try:
        new = access.new_key(name, role, project, expires_s, f"cli:{caller()}")
        schema.check_whole(url)
        made = asyncio.run(store(new))
    except (HodeiError, psycopg.Error) as error:
        raise click.ClickException(sqlstate.primary(error)) from error
    if made is None:
        raise click.ClickException(f"expected fewer than {api_keys.MOST_USABLE} keys; revoke some")
    return access_shapes.of_key(made, text=new.key.text)


@apikey.command(name="list", epilog="\b\nExample:\n  hodei apikey list")
@show.wide_option
@show.format_option
@click.pass_obj
def list_keys(servers: str, output: str) -> None:
    """The newest 1,000 keys, also those that are not valid any more."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        answer = _asked(client, client.access.ListApiKeys, pb.ListApiKeysRequest())
    found = [wire.read(ApiKey, one) for one in answer.keys]
    if answer.more:
        click.echo(f"hodei: older keys than these {len(found)} are not shown", err=True)
    if show.emit(output, found):
        return
    show.table(
        [
            show.Column("key"),
            show.Column("name", cut=True),
            show.Column("role"),
            show.Column("state"),
            show.Column("project", leaves=1),
            show.Column("expires", leaves=2),
            show.Column("used", leaves=3),
            show.Column("created", leaves=4),
            show.Column("created by", leaves=5, cut=True),
        ],
        [
            [
                one.key_id,
                one.name,
                one.role,
                one.state,
                one.project or "",
                show.clock(one.expires_at),
                show.clock(one.used_at),
                show.clock(one.created_at),
                one.created_by,
            ]
            for one in found
        ],
        none="no keys",
    )


@apikey.command(epilog="\b\nExample:\n  hodei apikey revoke nightly-import")
@click.argument("which", metavar="KEY")
@show.format_option
@click.pass_obj
def revoke(servers: str, which: str, output: str) -> None:
    """Revoke a key, named by its id, its name or itself. Servers refuse it within 5 seconds, and end what it
    follows."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        request = pb.ApiKeyRef(key=id_of(which) or which)
        one = wire.read(ApiKey, _asked(client, client.access.RevokeApiKey, request))
    if not show.emit(output, one):
        click.echo(shown(f"key {one.key_id} ({one.name}) is revoked"))


def _asked(client: Client, method: Any, request: Any) -> Any:
    """Calls. Failure: the server is of a release without API keys."""
    with unless_older(client, "has no API keys: upgrade it"):
        return client.call(method, request)
