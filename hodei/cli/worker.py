"""`hodei worker …`."""

import os
from typing import Any

import click

from hodei.cli import show
from hodei.cli.client import connect
from hodei.cli.groups import Group
from hodei.cli.ids import worker_id_argument
from hodei.domain.text import shown
from hodei.shapes import wire
from hodei.shapes.fleet import Worker

MOST_SHOWN = 1000
"""Workers of a list; the command asks for no more pages then."""


@click.group(
    cls=Group,
    epilog="\b\nExample:\n  hodei worker list\n  HODEI_OTP_TOKEN=$(hodei token create) hodei worker run --slots 8",
)
def worker() -> None:
    """List, drain and revoke workers; run one here."""


@worker.command(name="list", epilog="\b\nExample:\n  hodei worker list --all --format json")
@click.option("--all", "every", is_flag=True, help="TERMINATED ones too.")
@show.format_option
@click.pass_obj
def list_workers(servers: str, every: bool, output: str) -> None:
    """Workers, newest first."""
    from hodei.protocol import hodei_pb2 as pb

    found: list[Worker] = []
    request = pb.ListWorkersRequest(all=every)
    with connect(servers) as client:
        while len(found) < MOST_SHOWN:
            answer = client.call(client.fleet.ListWorkers, request)
            found += [wire.read(Worker, one) for one in answer.workers]
            request.before_worker_id = answer.next_before_worker_id
            if not request.before_worker_id:
                break
    if request.before_worker_id:
        click.echo(f"hodei: older workers than these {len(found)} are not shown", err=True)
    if show.emit(output, found):
        return
    show.table(
        [
            show.Column("id"),
            show.Column("name", cut=True),
            show.Column("state"),
            show.Column("slots"),
            show.Column("jobs as", leaves=1),
            show.Column("heartbeat", leaves=2),
            show.Column("labels", leaves=3, cut=True),
            show.Column("version", leaves=4),
        ],
        [
            [
                show.short_id(one.worker_id),
                one.name,
                one.state,
                f"{one.busy_slots}/{one.slots}",
                one.job_user or "unknown",
                "never"
                if one.heartbeat_age_s is None
                else f"{show.duration(one.heartbeat_age_s)} ago",
                " ".join(f"{k}={v}" for k, v in sorted(one.labels.items())),
                one.version,
            ]
            for one in found
        ],
        none="no workers: start one with `HODEI_OTP_TOKEN=$(hodei token create) hodei-worker`",
    )


def _show_one(answer: Any, output: str, words: str) -> None:
    one = wire.read(Worker, answer)
    if not show.emit(output, one):
        click.echo(f"worker {one.worker_id} ({shown(one.name)}) {words}; it is {one.state}")


@worker.command(
    epilog="""\b
Example:
  hodei worker drain 2f1c9f0e-5a53-4d0b-9d1c-6c1f6a0b7e21
  hodei worker drain --undo 2f1c9f0e-5a53-4d0b-9d1c-6c1f6a0b7e21"""
)
@worker_id_argument
@click.option("--undo", is_flag=True, help="Give it work again.")
@show.format_option
@click.pass_obj
def drain(servers: str, worker_id: str, undo: bool, output: str) -> None:
    """Send a worker no new jobs; those that run there go on to their end."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        one = client.call(
            client.fleet.DrainWorker, pb.DrainWorkerRequest(worker_id=worker_id, undo=undo)
        )
    _show_one(one, output, "gets work again" if undo else "gets nothing new")


@worker.command(epilog="\b\nExample:\n  hodei worker revoke 2f1c9f0e-5a53-4d0b-9d1c-6c1f6a0b7e21")
@worker_id_argument
@show.format_option
@click.pass_obj
def revoke(servers: str, worker_id: str, output: str) -> None:
    """End a worker's credential for ever: its stream is closed, its jobs run on other workers.

    Its host comes back with a new token (`hodei token create`), as a new worker under a new id.
    """
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        one = client.call(client.fleet.RevokeWorker, pb.WorkerRef(worker_id=worker_id))
    _show_one(one, output, "has no credential any more")


@worker.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
    epilog="\b\nExample:\n  HODEI_OTP_TOKEN=$(hodei token create) hodei worker run --slots 8",
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_obj
def run(servers: str, arguments: tuple[str, ...]) -> None:
    """Run a worker here: the same as hodei-worker."""
    from hodei.local import own_python

    where = () if "--server" in arguments else ("--server", servers)
    command = own_python.command("hodei_worker", *where, *arguments)
    os.execve(command[0], command, os.environ | own_python.environment())  # noqa: S606
