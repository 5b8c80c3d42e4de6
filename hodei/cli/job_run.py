"""`hodei job run`: a new job, followed to its end."""

import sys
from typing import Any

import click

from hodei.cli.spec_flags import spec_options, to_spec
from hodei.cli.submit import submit_one


@click.command(
    epilog="""\b
Example:
  hodei job run --name "ETL" --correlation-id workflow-2026-01-31 --command "echo 'Step 1'" """
)
@spec_options
@click.option("--detach", is_flag=True, help="Print the id and do not wait.")
@click.option("--timestamps", is_flag=True, help="Prefix each line with when it was read.")
@click.pass_obj
def run(servers: str, flags: dict[str, Any], detach: bool, timestamps: bool) -> None:
    """Run a job and follow it: its output is this command's output, its exit code this command's.

    128+n for signal n (137 also when it ran out of memory), 124 after a time-out, 130 when
    cancelled, 1 when it could not run.
    """
    from hodei.cli.follow import follow_to_end, say

    spec = to_spec(flags)
    if detach:
        submit_one(servers, spec, click.echo)
        return
    submit_one(servers, spec, lambda job_id: say(f"Job queued successfully: {job_id}"))
    sys.exit(follow_to_end(servers, spec["id"], timestamps=timestamps))
