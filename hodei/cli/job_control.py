"""`hodei job cancel` and `retry`."""

import click

from hodei.cli import show
from hodei.cli.client import connect
from hodei.cli.ids import job_id_argument
from hodei.domain.job import JobState
from hodei.shapes import wire
from hodei.shapes.job import Job


@click.command(epilog="\b\nExample:\n  hodei job cancel 584a465b-d208-4a05-beef-8671b9bc2805")
@job_id_argument
@show.format_option
@click.pass_obj
def cancel(servers: str, job_id: str, output: str) -> None:
    """Stop a job: TERM to all its processes, KILL after its grace; a queued one at once."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        answer = client.call(client.jobs.CancelJob, pb.CancelJobRequest(job_id=job_id))
    found = wire.read(Job, answer)
    if not show.emit(output, found):
        click.echo(
            f"job {job_id} is {found.state}"
            if found.state == JobState.CANCELLED
            else f"cancel of job {job_id} requested"
        )


@click.command(epilog="\b\nExample:\n  hodei job retry 584a465b-d208-4a05-beef-8671b9bc2805")
@job_id_argument
@show.format_option
@click.pass_obj
def retry(servers: str, job_id: str, output: str) -> None:
    """Run an ended job again, as a new job with the same spec. Prints the new id."""
    from hodei.domain.ids import uuid7
    from hodei.protocol import hodei_pb2 as pb

    request = pb.RetryJobRequest(job_id=job_id, new_job_id=str(uuid7()))
    with connect(servers) as client:
        found = wire.read(Job, client.call(client.jobs.RetryJob, request))
    if not show.emit(output, found):
        click.echo(found.job_id)
