"""`hodei worker …`."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import click

from hodei.cli import completion, connection, show, worker_details
from hodei.cli.client import Client, connect, is_refusal, words
from hodei.cli.errors import Lines
from hodei.cli.groups import Group
from hodei.cli.older_worker_calls import asked
from hodei.cli.worker_list import list_workers
from hodei.domain.text import shown
from hodei.shapes import wire
from hodei.shapes.fleet import Worker, WorkerDetails


@click.group(
    cls=Group,
    epilog="\b\nExample:\n  hodei worker list\n  HODEI_OTP_TOKEN=$(hodei token create) hodei worker run --slots 8",
)
def worker() -> None:
    """List, show, drain and revoke workers; run one here."""


worker.add_command(list_workers)


@worker.command(
    epilog="\b\nExample:\n  hodei worker get build-3\n  hodei worker get 6a0b7e21 --format json"
)
@click.argument("which", metavar="WORKER", shell_complete=completion.workers)
@show.format_option
@click.pass_obj
def get(servers: str, which: str, output: str) -> None:
    """Show a worker: its host and settings, its jobs, and what it lacks for jobs that are ready.

    WORKER is a name, an id, the first 6 or more characters of an id, or its last 8 or more."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        answer = asked(client, client.fleet.GetWorker, pb.WorkerRef(worker_id=which))
    one = wire.read(WorkerDetails, answer)
    if not show.emit(output, one):
        worker_details.tell(one)


@worker.command(
    epilog="""\b
Example:
  hodei worker drain build-3 build-4
  hodei worker drain --undo 6a0b7e21"""
)
@click.argument(
    "which",
    metavar="WORKER...",
    nargs=-1,
    required=True,
    shell_complete=completion.workers,
)
@click.option("--undo", is_flag=True, help="Give them work again.")
@show.format_option
@click.pass_obj
def drain(servers: str, which: tuple[str, ...], undo: bool, output: str) -> None:
    """Send workers no new jobs; those that run there go on to their end.

    WORKER is a name, an id, the first 6 or more characters of an id, or its last 8 or more."""
    from hodei.protocol import hodei_pb2 as pb

    def change(client: Client, one: str) -> Any:
        request = pb.DrainWorkerRequest(worker_id=one, undo=undo)
        return asked(client, client.fleet.DrainWorker, request)

    done = "gets new jobs again" if undo else "gets no new jobs"
    _change_each(servers, which, change, output, done)


@worker.command(epilog="\b\nExample:\n  hodei worker revoke build-3")
@click.argument(
    "which",
    metavar="WORKER...",
    nargs=-1,
    required=True,
    shell_complete=completion.workers,
)
@show.format_option
@click.pass_obj
def revoke(servers: str, which: tuple[str, ...], output: str) -> None:
    """End workers' credentials for ever: their streams are closed, their jobs run on other workers.

    Their hosts come back with a new token (`hodei token create`), as new workers under new ids.

    WORKER is a name, an id, the first 6 or more characters of an id, or its last 8 or more."""
    from hodei.protocol import hodei_pb2 as pb

    def change(client: Client, one: str) -> Any:
        return asked(client, client.fleet.RevokeWorker, pb.WorkerRef(worker_id=one))

    _change_each(servers, which, change, output, "has no credential any more")


def _change_each(
    servers: str,
    which: Sequence[str],
    change: Callable[[Client, str], Any],
    output: str,
    done: str,
) -> None:
    """Changes one worker after the other. One that is refused does not touch the others: all that
    was refused is said at the end. ClickException: something was refused."""
    import grpc

    changed: list[Worker] = []
    refused: list[str] = []
    with connect(servers) as client:
        for one in dict.fromkeys(which):
            try:
                changed.append(wire.read(Worker, change(client, one)))
            except grpc.RpcError as error:
                if len(which) == 1 or not is_refusal(error):
                    raise
                refused.append(words(error))
            except click.ClickException as error:
                if len(which) == 1:
                    raise
                refused.append(error.message)
    if changed and not show.emit(output, changed if len(which) > 1 else changed[0]):
        for found in changed:
            name = shown(found.name)
            click.echo(shown(f"worker {found.worker_id} ({name}) {done}; it is {found.state}"))
    if refused:
        raise click.ClickException(Lines("\n".join(map(shown, refused))))


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
    environment = os.environ | own_python.environment() | connection.as_environment()
    os.execve(command[0], command, environment)  # noqa: S606
