"""`hodei job run`: a new job, followed to its end."""

import sys
from typing import Any

import click

from hodei.cli import show
from hodei.cli.argv import ArgvCommand
from hodei.cli.exit_codes import help_lines
from hodei.cli.say import say
from hodei.cli.spec_flags import to_spec
from hodei.cli.spec_options import project_option, spec_options
from hodei.cli.submit import show_spec, submit_one, teller
from hodei.cli.submit_calls import Where


@click.command(
    cls=ArgvCommand,
    epilog=help_lines()
    + """

\b
Example:
  hodei job run --name "ETL" --correlation-id workflow-2026-01-31 --command "echo 'Step 1'" """,
)
@spec_options
@click.option("-d", "--detach", is_flag=True, help="Print the id and do not wait.")
@project_option
@click.option("--dry-run", is_flag=True, help="Print the spec as it would be stored; run nothing.")
@click.option(
    "-q", "--quiet", is_flag=True, help="Do not say that the job is queued, nor why it waits."
)
@click.option("--timestamps", is_flag=True, help="Prefix each line with when it was read.")
@click.option(
    "--cancel-on-interrupt",
    is_flag=True,
    help="Ctrl-C cancels the job and waits for its end; otherwise the job runs on.",
)
@show.format_option
@click.pass_obj
def run(
    servers: str,
    flags: dict[str, Any],
    output: str,
    detach: bool,
    project: str,
    dry_run: bool,
    quiet: bool,
    timestamps: bool,
    cancel_on_interrupt: bool,
) -> None:
    """Run a job and follow it: its output is this command's output, its exit code this command's.

    --format is for the id of --detach, the spec of --dry-run, and errors."""
    from hodei.cli.follow import follow_to_end
    from hodei.cli.interrupts import code_of, stoppable

    spec = to_spec(flags)
    if dry_run:
        show_spec(output, spec, with_id=bool(flags["job_id"]))
        return
    if detach:
        submit_one(Where(servers, project), spec, teller(output))
        return
    try:
        with stoppable():
            submit_one(Where(servers, project), spec, _nothing if quiet else _queued)
    except KeyboardInterrupt as interrupt:
        say(f"\nhodei: the job may be queued; look with: hodei job get {spec['id']}")
        sys.exit(code_of(interrupt))
    sys.exit(
        follow_to_end(
            servers,
            spec["id"],
            timestamps=timestamps,
            cancel_on_interrupt=cancel_on_interrupt,
            quiet=quiet,
        )
    )


def _queued(job_id: str) -> None:
    say(f"Job queued successfully: {job_id}")


def _nothing(_job_id: str) -> None:
    pass
