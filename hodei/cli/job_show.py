"""`hodei job list` and `get`: jobs as they are now."""

from typing import Any

import click

from hodei.cli import show
from hodei.cli.client import connect
from hodei.cli.ids import job_id_argument
from hodei.cli.job_view import show_job, took
from hodei.shapes import wire
from hodei.shapes.job import Job


@click.command(name="list", epilog="\b\nExample:\n  hodei job list --state FAILED --limit 50")
@click.option("--state", help="PENDING, RUNNING, SUCCEEDED, FAILED or CANCELLED.")
@click.option("--reason", help="As TIMEOUT, WORKER_LOST.")
@click.option("--correlation-id", default="")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option("--before", default="", metavar="ID", help="The last job of the page before.")
@show.format_option
@click.pass_obj
def list_jobs(
    servers: str,
    state: str | None,
    reason: str | None,
    correlation_id: str,
    limit: int,
    before: str,
    output: str,
) -> None:
    """List jobs, newest first."""
    from hodei.protocol import hodei_pb2 as pb

    request = pb.ListJobsRequest(
        state=(state or "").upper(),
        reason=(reason or "").upper(),
        correlation_id=correlation_id,
        limit=limit,
        before_job_id=before,
    )
    found = _list(servers, request)
    if show.emit(output, found):
        return
    show.table(
        [
            show.Column("id"),
            show.Column("name", cut=True),
            show.Column("state"),
            show.Column("reason", leaves=1),
            show.Column("attempts", leaves=4),
            show.Column("created"),
            show.Column("took", leaves=3),
            show.Column("waits for", leaves=2, cut=True),
        ],
        [
            [
                show.short_id(one.job_id),
                one.name,
                one.state,
                one.reason or "",
                str(one.attempts),
                show.clock(one.created_at),
                took(one),
                one.waiting_for or "",
            ]
            for one in found
        ],
        none="no jobs",
    )


def _list(servers: str, request: Any) -> list[Job]:
    """Returns as many jobs as are asked for: a page may end before that, by its size."""
    found: list[Job] = []
    limit = request.limit
    with connect(servers) as client:
        while True:
            answer = client.call(client.jobs.ListJobs, request)
            found += [wire.read(Job, one) for one in answer.jobs]
            if not answer.next_before_job_id or len(found) >= limit:
                return found
            request.before_job_id, request.limit = answer.next_before_job_id, limit - len(found)


@click.command(epilog="\b\nExample:\n  hodei job get 584a465b-d208-4a05-beef-8671b9bc2805")
@job_id_argument
@show.format_option
@click.pass_obj
def get(servers: str, job_id: str, output: str) -> None:
    """Show one job: its state, its attempts, why it waits or why it ended."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        found = client.call(client.jobs.GetJob, pb.JobRef(job_id=job_id))
    show_job(wire.read(Job, found), output)
