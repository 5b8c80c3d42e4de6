"""`hodei tls …`."""

from pathlib import Path

import click

from hodei.cli import show
from hodei.cli.errors import Failure
from hodei.cli.groups import Group
from hodei.domain.text import shown
from hodei.shapes.fields import Time
from hodei.shapes.local import Certificates


@click.group(
    cls=Group,
    epilog="\b\nExample:\n  hodei tls init /etc/hodei/tls --host server-1 --host 10.0.0.5",
)
def tls() -> None:
    """Certificates for those who have no CA."""


@tls.command(
    epilog="""\b
Example:
  hodei tls init /etc/hodei/tls --host server-1.example --host 10.0.0.5
  hodei tls init /etc/hodei/tls --host '*.servers.example' --days 90"""
)
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--host",
    "hosts",
    multiple=True,
    required=True,
    metavar="NAME",
    help="A name or an IP address by which servers are reached; repeatable. localhost, 127.0.0.1 and"
    " ::1 are always among them.",
)
@click.option(
    "--days",
    default=365,
    show_default=True,
    type=click.IntRange(1, 3650),
    help="Days for which the certificates are valid. The CA is valid for ten years.",
)
@show.format_option
def init(folder: Path, hosts: tuple[str, ...], days: int, output: str) -> None:
    """Make a CA and certificates for servers and clients in DIR.

    A CA that is already there is kept, and signs new certificates: the same command renews them, and
    running servers take them without a restart. Keep ca-key.pem away from servers and workers: they
    need only ca.pem, and server.pem or client.pem with its key."""
    from hodei.tls.authority import make
    from hodei.tls.bad import BadTls
    from hodei.tls.words import utc

    try:
        made = make(folder, hosts, days)
    except BadTls as error:
        raise click.UsageError(str(error)) from None
    except OSError as error:
        raise Failure(f"{error.filename or folder}: {error.strerror}") from error
    made_there = Certificates(
        folder=str(folder),
        new_ca=made.is_new_ca,
        names=list(made.names),
        expires_at=Time(round(made.expires_at.timestamp() * 1_000_000)),
    )
    if show.emit(output, made_there):
        return
    where = shown(str(folder))
    click.echo(f"{where}: {'a new CA' if made.is_new_ca else 'the CA that was there'}, ca.pem")
    click.echo(f"{where}: server.pem for {', '.join(made.names)}; client.pem")
    click.echo(f"valid until {utc(made.expires_at)}; the keys are beside them, as server-key.pem")
