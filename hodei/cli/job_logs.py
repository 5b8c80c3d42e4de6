"""`hodei job logs`: what jobs wrote."""

import sys
from collections.abc import Iterator
from typing import Any

import click

from hodei.cli import show
from hodei.cli.ids import job_id_argument
from hodei.cli.log_json import log_chunks

MOST_TAIL = 1_000_000
MOST_ATTEMPT = 1_000_000
"""What a server takes."""


@click.command(epilog="\b\nExample:\n  hodei job logs -f 584a465b-d208-4a05-beef-8671b9bc2805")
@job_id_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended.")
@click.option(
    "--exit-code",
    "as_job",
    is_flag=True,
    help="With -f: exit as the job ended, by the table of `hodei job run --help`.",
)
@click.option("--timestamps", is_flag=True, help="Prefix each line with when it was read.")
@click.option(
    "--tail",
    type=click.IntRange(0, MOST_TAIL),
    metavar="N",
    help="Only the last N lines of stdout and of stderr, and what comes after them.",
)
@click.option(
    "--since",
    metavar="TIME",
    help="Only what was written since then: 10m, 2d, or 2026-01-31T12:00:00Z.",
)
@click.option(
    "--attempt", type=click.IntRange(1, MOST_ATTEMPT), metavar="N", help="Only of this attempt."
)
@show.format_option
@click.pass_obj
def logs(
    servers: str,
    job_id: str,
    follow: bool,
    as_job: bool,
    timestamps: bool,
    tail: int | None,
    since: str | None,
    attempt: int | None,
    output: str,
) -> None:
    """What a job wrote: its stdout on stdout, its stderr on stderr.

    As JSON it is one chunk a line, as they come."""
    from hodei.cli.exit_codes import exit_code
    from hodei.cli.follow import say_end
    from hodei.cli.interrupts import code_of, stoppable
    from hodei.cli.log_stream import LogStream, Selection
    from hodei.cli.past import unix_us
    from hodei.cli.say import say

    if as_job and not follow:
        raise click.UsageError("--exit-code: expected -f with it: only a job that ended has one")
    from_us = max(unix_us(since, "--since"), 1) if since is not None else 0
    wanted = Selection(attempt or 0, tail, from_us)
    log = LogStream(servers, job_id, follow=follow, selection=wanted)
    try:
        with stoppable():
            _print(job_id, log.chunks(), output, timestamps=timestamps)
    except KeyboardInterrupt as interrupt:
        say(f"\nhodei: come back with: hodei job logs -f {job_id}")
        sys.exit(code_of(interrupt))
    if log.final:
        say_end(log.final)
        sys.exit(exit_code(log.final) if as_job else 0)


def _print(job_id: str, chunks: Iterator[Any], output: str, *, timestamps: bool) -> None:
    from hodei.cli.log_output import Printer

    if output == "table":
        printer = Printer(timestamps=timestamps)
        for chunk in chunks:
            printer.write(chunk)
        return
    for shown in log_chunks(job_id, chunks):
        show.emit_line(output, shown)
