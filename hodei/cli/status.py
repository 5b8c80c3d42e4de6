"""`hodei status`."""

from collections.abc import Sequence

import click

from hodei.cli import show
from hodei.cli.client import connect
from hodei.domain.job import JobState
from hodei.domain.worker import WorkerState
from hodei.shapes import wire
from hodei.shapes.fleet import Status

WORKERS = (
    WorkerState.READY,
    WorkerState.BUSY,
    WorkerState.DRAINING,
    WorkerState.UNREACHABLE,
    WorkerState.REGISTERING,
    WorkerState.TERMINATED,
)
"""The states of workers, in the order in which they are shown."""


@click.command(epilog="\b\nExample:\n  hodei status --format json")
@show.format_option
@click.pass_obj
def status(servers: str, output: str) -> None:
    """Jobs, queue, workers and servers at a glance."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        now = wire.read(Status, client.call(client.fleet.GetStatus, pb.GetStatusRequest()))
        address = client.address
    if show.emit(output, now):
        return
    oldest = (
        f", the oldest ready for {show.duration(now.oldest_ready_s)}" if now.oldest_ready_s else ""
    )
    show.fields(
        [
            ("jobs", _counts(now.jobs, tuple(JobState))),
            ("queue", f"{now.queued} waiting, {now.queued_ready} of them ready{oldest}"),
            ("workers", _counts(now.workers, WORKERS)),
            ("as root", _as_root(now)),
            ("slots", f"{now.slots_busy} of {now.slots} taken"),
            ("tokens", f"{now.tokens_usable} usable"),
            ("servers", f"{now.servers}; {address} answered, version {now.version}"),
            ("database", f"PostgreSQL {now.database}, schema {now.schema_version}"),
        ]
    )


def _counts(counts: dict[str, int], order: Sequence[str]) -> str:
    return ", ".join(f"{counts[state]} {state}" for state in order if counts.get(state)) or "none"


def _as_root(now: Status) -> str:
    """Returns where jobs run as root; empty where none does."""
    number, names = now.root_workers, now.root_worker_names
    if not number:
        return ""
    more = f" and {number - len(names)} more" if number > len(names) else ""
    workers = "1 worker" if number == 1 else f"{number} workers"
    return f"jobs run as root on {workers}: {', '.join(names)}{more}"
