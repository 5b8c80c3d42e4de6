"""`hodei worker list`."""

from typing import Any

import click

from hodei.cli import completion, show
from hodei.cli.client import Client, connect
from hodei.domain.spec_keys import CONTAINERS_ONLY
from hodei.domain.text import shown
from hodei.domain.worker import WorkerState
from hodei.shapes import wire
from hodei.shapes.fleet import Worker

MOST_SHOWN = 1000
"""Workers of a list; the command asks for no more pages then."""


def _states(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> frozenset[str]:
    """Words of WorkerState, with commas between them, in any case."""
    found = frozenset(word.strip().upper() for text in given for word in text.split(","))
    if unknown := sorted(found - set(WorkerState)):
        raise click.BadParameter(f"expected {', '.join(WorkerState)}, got {unknown[0]!r}")
    return found


def _labels(_ctx: click.Context, _param: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for text in given:
        key, separator, value = text.partition("=")
        if not key or not separator or "\0" in text:
            raise click.BadParameter(f"expected KEY=VALUE, got {text!r}")
        found[key] = value
    return found


@click.command(
    name="list",
    epilog="""\b
Example:
  hodei worker list --label gpu=a100 --state READY,BUSY
  hodei worker drain $(hodei worker list -q --label zone=a)""",
)
@click.option("--all", "every", is_flag=True, help="TERMINATED ones too.")
@click.option(
    "--state",
    "states",
    multiple=True,
    callback=_states,
    metavar="STATE[,STATE]",
    shell_complete=completion.worker_states,
    help="Only workers in one of these states.",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    callback=_labels,
    metavar="KEY=VALUE",
    shell_complete=completion.labels,
    help="Only workers with this label; repeatable.",
)
@click.option("-q", "--quiet", is_flag=True, help="Print whole ids only, one a line.")
@show.wide_option
@show.format_option
@click.pass_obj
def list_workers(
    servers: str,
    every: bool,
    states: frozenset[str],
    labels: dict[str, str],
    quiet: bool,
    output: str,
) -> None:
    """Workers, newest first; the newest 1,000 at most."""
    with connect(servers) as client:
        found, more = _found(client, every, states, labels)
    if more:
        click.echo(f"hodei: older workers than these {len(found)} are not shown", err=True)
    if quiet:
        for one in found:
            click.echo(shown(one.worker_id))
    elif not show.emit(output, found):
        _show(found, any_worker=not (states or labels))


def _found(
    client: Client, every: bool, states: frozenset[str], labels: dict[str, str]
) -> tuple[list[Worker], bool]:
    """The workers that are wanted, and whether there are more. A server of an older release answers
    with others among them: they are left out here."""
    from hodei.protocol import hodei_pb2 as pb

    found: list[Worker] = []
    request = pb.ListWorkersRequest(all=every or bool(states), states=sorted(states), labels=labels)
    while len(found) < MOST_SHOWN:
        answer: Any = client.call(client.fleet.ListWorkers, request)
        page = [wire.read(Worker, one) for one in answer.workers]
        found += [
            one
            for one in page
            if (not states or one.state in states) and labels.items() <= one.labels.items()
        ]
        request.before_worker_id = answer.next_before_worker_id
        if not request.before_worker_id:
            return found, False
    return found, True


def _show(found: list[Worker], *, any_worker: bool) -> None:
    columns = [
        show.Column("id"),
        show.Column("name", cut=True),
        show.Column("state"),
        show.Column("in use"),
        show.Column("jobs as", leaves=1),
        show.Column("heartbeat", leaves=2),
        show.Column("runs", leaves=3),
        show.Column("job", leaves=3, cut=True),
        show.Column("labels", leaves=4, cut=True),
        show.Column("host", leaves=5, cut=True),
        show.Column("version", leaves=6),
    ]
    none = (
        "no workers: start one with `HODEI_OTP_TOKEN=$(hodei token create) hodei-worker`"
        if any_worker
        else "no worker fits: `hodei worker list --all` shows all of them"
    )
    show.table(columns, [_row(one) for one in found], none=none)


def jobs_run_as(one: Worker) -> str:
    """The user that its jobs run as, in words."""
    only_containers = one.labels.get(CONTAINERS_ONLY) and not one.job_user
    return "containers only" if only_containers else one.job_user or "unknown"


def _row(one: Worker) -> list[str]:
    age = one.heartbeat_age_s
    return [
        show.short_id(one.worker_id),
        one.name,
        one.state,
        f"{one.busy_slots}/{one.slots}",
        jobs_run_as(one),
        "never" if age is None else f"{show.duration(age)} ago",
        show.short_id(one.current_job_id),
        one.current_job_name or "",
        " ".join(f"{key}={value}" for key, value in sorted(one.labels.items())),
        one.host or "unknown",
        one.version,
    ]
