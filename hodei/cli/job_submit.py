"""`hodei job submit`: new jobs."""

from typing import Any

import click

from hodei.cli.argv import ArgvCommand
from hodei.cli.spec_flags import read_file, spec_options, to_spec
from hodei.cli.submit import MOST_FILE, submit_file, submit_one


@click.command(
    cls=ArgvCommand,
    epilog="""\b
Example:
  JOB_ID=$(hodei job submit --name nightly --script backup.sh)
  hodei job submit --file specs.json""",
)
@spec_options
@click.option(
    "--file",
    "spec_file",
    metavar="FILE",
    help="Specs instead of flags: an object, a list, or a line each; - for stdin.",
)
@click.option(
    "--partial",
    is_flag=True,
    help="Submit what is right of a file; without it one wrong spec refuses them all.",
)
@click.option(
    "--ids-from", metavar="UUID", help="The first id of an earlier try: its jobs again, none twice."
)
@click.pass_obj
def submit(
    servers: str, flags: dict[str, Any], spec_file: str | None, partial: bool, ids_from: str | None
) -> None:
    """Queue jobs and print their ids. All or none of a file of up to 1,000 specs and 3 MB; a larger
    one goes in pieces of that.

    When a submit breaks off, the same command may be repeated: what stands already is not created
    again.
    """
    if spec_file is None:
        if partial or ids_from:
            raise click.UsageError("--partial and --ids-from: expected --file with them")
        submit_one(servers, to_spec(flags), click.echo)
        return
    if given := [key for key, value in flags.items() if value not in (None, ())]:
        name = (
            "-- ARGV"
            if given[0] == "argv"
            else f"--{given[0].replace('job_id', 'id').replace('_', '-')}"
        )
        raise click.UsageError(
            f"--file: expected specs alone, got {name} with it; write it into the specs"
        )
    data = read_file(spec_file, "--file", MOST_FILE)
    submit_file(servers, data, click.echo, partial=partial, ids_from=ids_from)
