"""`hodei job logs`: what jobs wrote."""

import sys

import click

from hodei.cli import show
from hodei.cli.ids import job_id_argument
from hodei.cli.log_json import log_chunks


@click.command(epilog="\b\nExample:\n  hodei job logs -f 584a465b-d208-4a05-beef-8671b9bc2805")
@job_id_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended.")
@click.option("--timestamps", is_flag=True, help="Prefix each line with when it was read.")
@click.option("--attempt", type=int, metavar="N", help="Only of this attempt.")
@show.format_option
@click.pass_obj
def logs(
    servers: str, job_id: str, follow: bool, timestamps: bool, attempt: int | None, output: str
) -> None:
    """What a job wrote: its stdout on stdout, its stderr on stderr."""
    from hodei.cli.follow import messages, print_logs, say

    try:
        if output == "json":
            chunks = (
                chunk
                for message in messages(servers, job_id, follow=follow)
                for chunk in message.chunks
            )
            wanted = (c for c in chunks if attempt is None or c.attempt == attempt)
            show.as_json(list(log_chunks(wanted)))
        else:
            print_logs(servers, job_id, follow=follow, timestamps=timestamps, attempt=attempt)
    except KeyboardInterrupt:
        say(f"\nhodei: come back with: hodei job logs -f {job_id}")
        sys.exit(130)
