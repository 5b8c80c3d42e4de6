"""`hodei token …`."""

import click

from hodei.cli import completion, show
from hodei.cli.client import connect
from hodei.cli.groups import Group
from hodei.cli.older_worker_calls import asked
from hodei.cli.times import seconds
from hodei.domain.text import shown
from hodei.shapes import wire
from hodei.shapes.fleet import Token


@click.group(
    cls=Group, epilog="\b\nExample:\n  HODEI_OTP_TOKEN=$(hodei token create --ttl 10m) hodei-worker"
)
def token() -> None:
    """Mint and revoke one-time tokens for workers."""


@token.command(epilog="\b\nExample:\n  hodei token create --ttl 10m")
@click.option("--ttl", default="1h", show_default=True, help="How long it may be redeemed.")
@click.option(
    "--worker-id",
    default="",
    metavar="WORKER",
    shell_complete=completion.workers,
    help="Only for this worker: its id, a part of it, or its name.",
)
@show.format_option
@click.pass_obj
def create(servers: str, ttl: str, worker_id: str, output: str) -> None:
    """Print a new token: it lets one worker register, once."""
    from hodei.protocol import hodei_pb2 as pb

    ttl_s = seconds(ttl, "--ttl")
    if ttl_s < 1:
        raise click.UsageError(f"--ttl: expected at least 1 s, got {ttl}")
    with connect(servers) as client:
        answer = asked(
            client,
            client.fleet.CreateToken,
            pb.CreateTokenRequest(ttl_s=ttl_s, worker_id=worker_id),
        )
    if not show.emit(output, wire.read(Token, answer)):
        click.echo(shown(answer.token))


@token.command(name="list", epilog="\b\nExample:\n  hodei token list")
@show.format_option
@click.pass_obj
def list_tokens(servers: str, output: str) -> None:
    """Tokens by their fingerprint; the tokens themselves are shown only once, when they are
    made."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        answer = client.call(client.fleet.ListTokens, pb.ListTokensRequest())
    found = [wire.read(Token, one) for one in answer.tokens]
    if answer.more:
        click.echo(f"hodei: older tokens than these {len(found)} are not shown", err=True)
    if show.emit(output, found):
        return
    show.table(
        [
            show.Column("token"),
            show.Column("state"),
            show.Column("for worker", leaves=3),
            show.Column("created", leaves=2),
            show.Column("expires"),
            show.Column("consumed by", leaves=1),
        ],
        [
            [
                one.token_id,
                one.state,
                show.short_id(one.worker_id) or "any",
                show.clock_cell(one.created_at),
                show.clock_cell(one.expires_at),
                show.short_id(one.consumed_by),
            ]
            for one in found
        ],
        none="no tokens",
    )


@token.command(epilog="\b\nExample:\n  hodei token revoke 18e05ed7b00a")
@click.argument("which", metavar="TOKEN")
@show.format_option
@click.pass_obj
def revoke(servers: str, which: str, output: str) -> None:
    """Revoke a token, named by itself or by its fingerprint."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        one = wire.read(Token, client.call(client.fleet.RevokeToken, pb.TokenRef(token=which)))
    if not show.emit(output, one):
        click.echo(shown(f"token {one.token_id} is revoked"))
