"""`hodei secret …`."""

from typing import Any

import click

from hodei.cli import show
from hodei.cli.client import Client, connect
from hodei.cli.groups import Group
from hodei.cli.older_server import unless_older
from hodei.cli.spec_input import read_file
from hodei.cli.unquoted import Unquoted
from hodei.domain.secret import MOST_BYTES
from hodei.domain.text import shown
from hodei.shapes import wire
from hodei.shapes.fleet import Rotation, Secret

PROJECT = click.option(
    "--project",
    default="",
    metavar="PROJECT",
    help="Whose jobs may name it.",
    show_default="my own, or default",
)


@click.group(
    cls=Group,
    epilog='\b\nExample:\n  printf %s "$TOKEN" | hodei secret set ci-token\n'
    "  hodei job run --secret TOKEN=ci-token -- sh -c 'test -n \"$TOKEN\"'",
)
def secret() -> None:
    """Keep values that jobs are given: tokens and passwords. No command prints one."""


@secret.command(
    name="set",
    cls=Unquoted,
    instead="the value comes from standard input or --file",
    epilog="\b\nExample:\n  hodei secret set ci-token --file /run/secrets/ci-token",
)
@click.argument("name")
@click.option(
    "-f",
    "--file",
    "path",
    default="-",
    metavar="FILE",
    help="A file with the value; - for standard input.",
    show_default=True,
)
@click.option("--allow-short", is_flag=True, help="Take a value of less than 8 bytes.")
@PROJECT
@show.format_option
@click.pass_obj
def set_secret(
    servers: str, name: str, path: str, allow_short: bool, project: str, output: str
) -> None:
    """Store a value under a name, or a new one in its place. The end of line behind a value of one
    line is not part of it. Jobs that run keep the value that they have."""
    from hodei.protocol import hodei_pb2 as pb

    request = pb.SetSecretRequest(
        name=name, value=_value(path), allow_short=allow_short, project=project
    )
    with connect(servers) as client:
        one = wire.read(Secret, _asked(client, client.secrets.SetSecret, request))
    if not show.emit(output, one):
        words = f"is set (version {one.version}, project {one.project})"
        click.echo(shown(f"secret {one.name} {words}"))


def _value(path: str) -> str:
    """Reads a value. UsageError: it is no text, or has too many bytes."""
    data = read_file(path, "--file", MOST_BYTES, len("\r\n"))
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"--file {path}: expected UTF-8 text, as a variable can hold,"
            f" got byte {error.object[error.start]:#x} at {error.start}; encode it, as base64"
        ) from None
    line = text.removesuffix("\n").removesuffix("\r") if text.endswith("\n") else text
    return text if "\n" in line else line


@secret.command(name="list", epilog="\b\nExample:\n  hodei secret list")
@PROJECT
@show.format_option
@click.pass_obj
def list_secrets(servers: str, project: str, output: str) -> None:
    """Names and versions of secrets; never a value."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        answer = _asked(client, client.secrets.ListSecrets, pb.ListSecretsRequest(project=project))
    found = [wire.read(Secret, one) for one in answer.secrets]
    if answer.more:
        click.echo(f"hodei: secrets behind these {len(found)} are not shown", err=True)
    if show.emit(output, found):
        return
    show.table(
        [
            show.Column("secret"),
            show.Column("project", leaves=1),
            show.Column("version"),
            show.Column("set", leaves=2),
            show.Column("by", leaves=3),
            show.Column("key", leaves=4),
        ],
        [
            [
                one.name,
                one.project,
                str(one.version),
                show.clock(one.created_at),
                one.created_by,
                one.key_id,
            ]
            for one in found
        ],
        none="no secrets",
    )


@secret.command(epilog="\b\nExample:\n  hodei secret remove ci-token")
@click.argument("name")
@PROJECT
@show.format_option
@click.pass_obj
def remove(servers: str, name: str, project: str, output: str) -> None:
    """Remove a secret: jobs that name it do not start any more. Jobs that run keep its value."""
    from hodei.protocol import hodei_pb2 as pb

    request = pb.SecretRef(name=name, project=project)
    with connect(servers) as client:
        one = wire.read(Secret, _asked(client, client.secrets.RemoveSecret, request))
    if not show.emit(output, one):
        click.echo(shown(f"secret {one.name} is removed (project {one.project})"))


@secret.command(epilog="\b\nExample:\n  hodei secret rotate")
@show.format_option
@click.pass_obj
def rotate(servers: str, output: str) -> None:
    """Encrypt all secrets anew, with the first --secret-key-file of the server that answers.

    Every server must have that key by then: give it to all as a further file first, then to all as
    the first one, then rotate, then take the old file away.
    """
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        answer = _asked(client, client.secrets.RotateSecrets, pb.RotateSecretsRequest())
    done = wire.read(Rotation, answer)
    if not show.emit(output, done):
        are = "version is" if done.rotated == 1 else "versions are"
        words = f"{done.rotated} {are} encrypted anew, all now with key {done.key_id}"
        click.echo(shown(words))


def _asked(client: Client, method: Any, request: Any) -> Any:
    """Calls. Failure: the server is of a release without secrets."""
    with unless_older(client, "has no secrets: upgrade it"):
        return client.call(method, request)
