"""`hodei provider …`."""

import json
from collections.abc import Callable
from typing import Any

import click

from hodei.cli import show
from hodei.cli.client import Client, connect
from hodei.cli.groups import Group
from hodei.cli.older_server import unless_older
from hodei.cli.provider_flags import check, config_of, config_options
from hodei.domain.text import shown
from hodei.shapes import wire
from hodei.shapes.provider import Provider

WHICH = click.argument("which", metavar="PROVIDER")


@click.group(
    cls=Group,
    epilog="\b\nExample:\n  hodei provider add Docker --max-workers 10\n  hodei provider list",
)
def provider() -> None:
    """Where servers make workers on demand: add, list, get, pause, resume, remove."""


@provider.command(
    epilog="""\b
Example:
  hodei provider add Docker --max-workers 10
  hodei provider add big --slots 8 --label size=big --idle-time 10m --warm-slots 8"""
)
@click.argument("name")
@click.option(
    "--max-workers", default=10, show_default=True, type=click.IntRange(0, 1000), help="At most."
)
@click.option(
    "--priority",
    default=0,
    show_default=True,
    type=click.IntRange(-(1 << 31), (1 << 31) - 1),
    help="Of two that could serve a job the higher one does.",
)
@config_options
@show.format_option
@click.pass_obj
def add(
    servers: str, /, name: str, max_workers: int, priority: int, output: str, **config: Any
) -> None:
    """Add a provider: workers in containers of a Docker Engine that the servers reach."""
    from hodei.protocol import hodei_pb2 as pb

    keys = config_of(config)
    check(keys, max_workers)
    request = pb.AddProviderRequest(
        name=name,
        config=json.dumps(keys),
        max_workers=max_workers,
        priority=priority,
    )
    with connect(servers) as client:
        one = wire.read(Provider, _asked(client, client.providers.AddProvider, request))
    if not show.emit(output, one):
        click.echo(shown(f"provider {one.name} ({one.provider_id}) is {one.status}"))


@provider.command(name="list", epilog="\b\nExample:\n  hodei provider list")
@show.wide_option
@show.format_option
@click.pass_obj
def list_providers(servers: str, output: str) -> None:
    """Providers, those of the highest priority first; 1,000 at most."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        answer = _asked(client, client.providers.ListProviders, pb.ListProvidersRequest())
    found = [wire.read(Provider, one) for one in answer.providers]
    if answer.more:
        click.echo(f"hodei: other providers than these {len(found)} are not shown", err=True)
    if show.emit(output, found):
        return
    show.table(
        [
            show.Column("name", cut=True),
            show.Column("status", cut=True),
            show.Column("workers"),
            show.Column("starting", leaves=2),
            show.Column("busy", leaves=2),
            show.Column("engine", leaves=3, cut=True),
            show.Column("image", leaves=4, cut=True),
            show.Column("why it makes none", leaves=1, cut=True),
        ],
        [
            [
                one.name,
                one.status,
                f"{one.workers}/{one.max_workers}",
                str(one.starting),
                str(one.busy),
                one.engine or "",
                one.image or "",
                one.status_reason or one.wrong or "",
            ]
            for one in found
        ],
        none="no providers: `hodei provider add` adds one",
    )


@provider.command(epilog="\b\nExample:\n  hodei provider get Docker")
@WHICH
@show.format_option
@click.pass_obj
def get(servers: str, which: str, output: str) -> None:
    """Show a provider: its settings, and why it makes no workers."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        request = pb.ProviderRef(provider=which)
        one = wire.read(Provider, _asked(client, client.providers.GetProvider, request))
    if not show.emit(output, one):
        _tell(one)


provider.add_command(
    click.Command("show", hidden=True, callback=get.callback, params=[*get.params], help=get.help)
)
"""Its name before it had that of `job get` and `worker get`."""


def _tell(one: Provider) -> None:
    labels = " ".join(f"{key}={value}" for key, value in sorted(one.labels.items()))
    pairs = {
        "Name": one.name,
        "Id": one.provider_id,
        "Status": one.status,
        "Makes none": one.status_reason or one.wrong,
        "Workers": f"{one.workers} of {one.max_workers}, {one.starting} starting, {one.busy} busy",
        "Demand": show.counted(one.demand, "job"),
        "Priority": str(one.priority),
        "Failures": f"{one.failures}, last {show.clock(one.failed_at)}" if one.failures else None,
        "Engine": one.engine,
        "Engine's id": one.engine_id,
        "Image": one.image,
        "Network": one.network,
        "Slots": str(one.slots) if one.slots else None,
        "Labels": labels,
        "Servers": one.server_address,
        "Warm slots": str(one.warm_slots) if one.warm_slots else None,
        "Idle time": show.duration(one.idle_time_s) if one.idle_time_s else None,
        "Boot timeout": show.duration(one.boot_timeout_s) if one.boot_timeout_s else None,
        "Ephemeral": "yes" if one.ephemeral else None,
        "Docker socket": "yes: workers are root on the engine's host"
        if one.docker_socket
        else None,
        "Jobs as": one.job_user,
        "Looked after by": f"server {one.server_id}" if one.server_id else "no server",
    }
    lines = {name: value for name, value in pairs.items() if value}
    width = max(map(len, lines))
    for name, value in lines.items():
        click.echo(f"{name:<{width}}  {shown(value)}")


def _command(name: str, method: str, done: Callable[[Provider], str], about: str) -> click.Command:
    """A command that changes one provider."""

    @click.command(name=name, help=about, epilog=f"\b\nExample:\n  hodei provider {name} Docker")
    @WHICH
    @show.format_option
    @click.pass_obj
    def change(servers: str, which: str, output: str) -> None:
        from hodei.protocol import hodei_pb2 as pb

        with connect(servers) as client:
            request = pb.ProviderRef(provider=which)
            answer = _asked(client, getattr(client.providers, method), request)
        one = wire.read(Provider, answer)
        if not show.emit(output, one):
            click.echo(shown(f"provider {one.name} {done(one)}"))

    return change


def _paused(one: Provider) -> str:
    go_on = "goes on" if one.workers == 1 else "go on"
    return f"is {one.status}; {show.counted(one.workers, 'worker')} {go_on}"


provider.add_command(
    _command(
        "pause",
        "PauseProvider",
        _paused,
        "Make no workers any more; those that are there go on, and idle ones are removed.",
    )
)
provider.add_command(
    _command(
        "resume",
        "ResumeProvider",
        lambda one: f"is {one.status}",
        "Make workers again, as if none had failed.",
    )
)
provider.add_command(
    _command(
        "adopt-engine",
        "AdoptEngine",
        lambda _: "takes the engine that answers next",
        "Take the engine that answers next, in place of the first one.",
    )
)


@provider.command(epilog="\b\nExample:\n  hodei provider remove big")
@WHICH
@click.option("--force", is_flag=True, help="Although it has workers: they stay for now.")
@show.format_option
@click.pass_obj
def remove(servers: str, which: str, force: bool, output: str) -> None:
    """Delete a provider that has no workers any more: pause it before."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        request = pb.RemoveProviderRequest(provider=which, force=force)
        one = wire.read(Provider, _asked(client, client.providers.RemoveProvider, request))
    if not show.emit(output, one):
        click.echo(f"provider {shown(one.name)} is removed")


def _asked(client: Client, method: Any, request: Any) -> Any:
    """Calls. Failure: the server is of a release without workers on demand."""
    with unless_older(client, "makes no workers on demand: upgrade it"):
        return client.call(method, request)
