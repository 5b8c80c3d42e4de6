"""`hodei job submit`: new jobs."""

from typing import Any

import click

from hodei.cli import show
from hodei.cli.argv import ArgvCommand
from hodei.cli.spec_file import MOST_FILE
from hodei.cli.spec_flags import to_spec
from hodei.cli.spec_input import read_file
from hodei.cli.spec_options import given_flags, project_option, spec_options
from hodei.cli.submit import show_file, show_spec, submit_file, submit_one, teller
from hodei.cli.submit_calls import Where


@click.command(
    cls=ArgvCommand,
    epilog="""\b
Example:
  JOB_ID=$(hodei job submit --name nightly --script backup.sh)
  hodei job submit --file specs.yaml
  hodei job submit --dry-run --timeout 1h30m -- make all""",
)
@spec_options
@click.option(
    "-f",
    "--file",
    "spec_file",
    metavar="FILE",
    help="Specs instead of flags, as JSON, an object of JSON on each line, or YAML; - for stdin.",
)
@click.option(
    "--partial",
    is_flag=True,
    help="Submit what is right of a file; without it one wrong spec refuses them all.",
)
@click.option(
    "--ids-from", metavar="UUID", help="The first id of an earlier try: its jobs again, none twice."
)
@project_option
@click.option("--dry-run", is_flag=True, help="Print the specs as they would be stored; send none.")
@click.option("-q", "--quiet", is_flag=True, help="Print the ids alone, whatever --format says.")
@show.format_option
@click.pass_obj
def submit(
    servers: str,
    flags: dict[str, Any],
    spec_file: str | None,
    partial: bool,
    ids_from: str | None,
    project: str,
    dry_run: bool,
    quiet: bool,
    output: str,
) -> None:
    """Queue jobs and print their ids. All or none of a file of up to 1,000 specs and 3 MB; a larger
    one goes in pieces of that.

    When a submit breaks off, the same command may be repeated: what stands already is not created
    again.
    """
    tell = click.echo if quiet else teller(output)
    if spec_file is None:
        if partial or ids_from:
            raise click.UsageError("--partial and --ids-from: expected --file with them")
        spec = to_spec(flags)
        if dry_run:
            show_spec(output, spec, with_id=bool(flags["job_id"]))
        else:
            submit_one(Where(servers, project), spec, tell)
        return
    if given := given_flags(flags):
        raise click.UsageError(
            f"--file: expected specs alone, got {' and '.join(given)} with it;"
            " write it into the specs"
        )
    data = read_file(spec_file, "--file", MOST_FILE)
    if dry_run:
        show_file(output, spec_file, data, partial=partial)
    else:
        where = Where(servers, project)
        submit_file(where, spec_file, data, tell, partial=partial, ids_from=ids_from)
