"""`hodei job timeline` and `attempts`: how a job came to be as it is."""

import click

from hodei.cli import show
from hodei.cli.client import connect
from hodei.cli.ids import job_id_argument
from hodei.cli.job_events import actor, new_state, what
from hodei.cli.job_view import worker
from hodei.domain.job import JobState
from hodei.shapes import wire
from hodei.shapes.job import Attempt, Event


@click.command(epilog="\b\nExample:\n  hodei job timeline 584a465b-d208-4a05-beef-8671b9bc2805")
@job_id_argument
@show.format_option
@click.pass_obj
def timeline(servers: str, job_id: str, output: str) -> None:
    """Show the events of a job, oldest first; at most the last 1,000."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        answer = client.call(client.jobs.GetTimeline, pb.JobRef(job_id=job_id))
    if answer.left_out:
        click.echo(f"hodei: {answer.left_out} older events are not shown", err=True)
    events = [wire.read(Event, one) for one in answer.events]
    if show.emit(output, events):
        return
    show.table(
        [
            show.Column("time"),
            show.Column("event"),
            show.Column("state"),
            show.Column("what", cut=True, least=40),
            show.Column("actor", leaves=1, cut=True),
        ],
        [
            [
                show.clock_cell(e.occurred_at, milliseconds=True),
                e.event_type,
                new_state(e),
                what(e),
                actor(e),
            ]
            for e in events
        ],
        none="no events",
    )


@click.command(epilog="\b\nExample:\n  hodei job attempts 584a465b-d208-4a05-beef-8671b9bc2805")
@job_id_argument
@show.format_option
@click.pass_obj
def attempts(servers: str, job_id: str, output: str) -> None:
    """Every attempt of a job: where, when, how it ended. Their logs are kept apart: `hodei job logs
    --attempt N`."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        answer = client.call(client.jobs.GetAttempts, pb.JobRef(job_id=job_id))
    if answer.more:
        click.echo("hodei: older attempts are not shown", err=True)
    found = [wire.read(Attempt, one) for one in answer.attempts]
    if show.emit(output, found):
        return
    show.table(
        [
            show.Column("attempt"),
            show.Column("outcome"),
            show.Column("reason", leaves=1),
            show.Column("exit code", leaves=2),
            show.Column("started", leaves=4),
            show.Column("ended"),
            show.Column("log", leaves=5),
            show.Column("worker", leaves=3, cut=True),
        ],
        [
            [
                str(one.attempt),
                one.outcome or JobState.RUNNING,
                one.reason or "",
                "" if one.exit_code is None else str(one.exit_code),
                show.clock_cell(one.started_at),
                show.clock_cell(one.ended_at),
                show.size(one.log_bytes),
                worker(one),
            ]
            for one in found
        ],
        none="no attempts yet",
    )
