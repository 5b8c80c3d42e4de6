"""`hodei job list` and `get`: jobs as they are now."""

import json

import click

from hodei.cli import job_columns, show
from hodei.cli.client import connect
from hodei.cli.ids import job_id_argument
from hodei.cli.job_filter import Wanted, filter_options
from hodei.cli.job_view import show_job
from hodei.domain.text import shown
from hodei.shapes import wire
from hodei.shapes.job import Job


@click.command(
    name="list",
    epilog="""\b
Example:
  hodei job list --state FAILED --since 2h
  hodei job list --name "backup-*" --label zone=a --limit 50
  hodei job list --state PENDING,RUNNING -q""",
)
@filter_options
@click.option(
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(1, 100_000),
    help="How many jobs, at most.",
)
@click.option("-q", "--quiet", is_flag=True, help="Only whole ids, one on each line.")
@click.option(
    "--columns",
    default=",".join(job_columns.USUAL),
    show_default="the first nine",
    type=job_columns.Columns(),
    metavar="NAME,…",
    help=f"Some of {', '.join(job_columns.COLUMNS)}.",
)
@show.wide_option
@show.format_option
@click.pass_obj
def list_jobs(
    servers: str, wanted: Wanted, limit: int, quiet: bool, columns: tuple[str, ...], output: str
) -> None:
    """List jobs, newest first.

    A job is listed if it has all that the flags say. At most 1,000,000 jobs are searched; the
    command says so if it stops there."""
    from hodei.cli.job_find import list_jobs as listed

    with connect(servers) as client:
        found = listed(client, wanted, limit)
    if quiet:
        for one in found:
            click.echo(shown(one.job_id))
    elif not show.emit(output, found):
        job_columns.table(found, columns)


@click.command(
    epilog="""\b
Example:
  hodei job get 584a465b-d208-4a05-beef-8671b9bc2805
  hodei job get --last --spec > spec.json; hodei job submit --file spec.json"""
)
@job_id_argument
@click.option("--spec", is_flag=True, help="Print its spec alone, which can be submitted again.")
@show.format_option
@click.pass_obj
def get(servers: str, job_id: str, spec: bool, output: str) -> None:
    """Show one job: its state, its attempts, why it waits or why it ended."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        found = client.call(client.jobs.GetJob, pb.JobRef(job_id=job_id))
    if spec:
        show.write_json(json.loads(found.spec))
    else:
        show_job(wire.read(Job, found), output)
