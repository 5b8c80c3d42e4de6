"""`hodei job wait`: until jobs have ended."""

import contextlib
import sys
from collections.abc import Sequence

import click

from hodei.cli import show
from hodei.cli.ids import job_ids_argument
from hodei.domain.text import shown
from hodei.shapes.job import Job

MOST_JOBS = 1000
"""Jobs that a server accepts in one call."""

MOST_NAMED = 10
"""Jobs without an end that are named when the time is up; the others are counted."""


@click.command(
    epilog="""\b
Example:
  hodei job wait $(hodei job submit --command "sleep 2") && echo done"""
)
@job_ids_argument
@click.option("--any", "any_one", is_flag=True, help="Only until one of them has ended.")
@click.option("--timeout", metavar="TIME", help="Give up after so long, as 90s or 1h30m.")
@show.format_option
@click.pass_obj
def wait(servers: str, job_ids: list[str], any_one: bool, timeout: str | None, output: str) -> None:
    """Wait until jobs have ended, up to 1,000. Prints a line for each as it ends.

    Exits with 0 if all have SUCCEEDED, otherwise with the code of the first one in the order given
    that has not, by the table of `hodei job run --help`; with 125 when the time is up."""
    from hodei.cli.end_stream import EndStream
    from hodei.cli.exit_codes import HODEI_FAILED
    from hodei.cli.interrupts import TimeIsUp, code_of, stoppable, within
    from hodei.cli.say import say
    from hodei.cli.times import seconds

    if not 1 <= len(job_ids) <= MOST_JOBS:
        raise click.UsageError(f"ID: expected 1 to {MOST_JOBS} jobs, or --last; got {len(job_ids)}")
    limit_s = seconds(timeout, "--timeout") if timeout is not None else None
    ends = EndStream(servers, job_ids, any_one=any_one)
    ended: dict[str, Job] = {}
    try:
        with stoppable(), within(limit_s) if limit_s is not None else contextlib.nullcontext():
            for job in ends.jobs():
                ended[job.job_id] = job
                _show(job, output)
    except TimeIsUp:
        say(f"hodei: {_words(ends.left)} not ended within {show.duration(limit_s or 0)}")
        sys.exit(HODEI_FAILED)
    except KeyboardInterrupt as interrupt:
        say(f"\nhodei: {_words(ends.left)} not ended; nothing is cancelled")
        sys.exit(code_of(interrupt))
    sys.exit(_exit_code(job_ids, ended, any_one=any_one))


def _show(job: Job, output: str) -> None:
    if show.emit_line(output, job):
        return
    because = ": ".join(filter(None, (job.reason, job.message)))
    words = f"{show.short_id(job.job_id)}  {job.state:<9}  {job.name}"
    click.echo(shown(f"{words}  ({because})" if because else words))
    sys.stdout.flush()


def _exit_code(job_ids: Sequence[str], ended: dict[str, Job], *, any_one: bool) -> int:
    """Returns the exit code of the first job that did not succeed; HODEI_FAILED for a job that was
    deleted, because nobody knows how it ended."""
    from hodei.cli.exit_codes import HODEI_FAILED, exit_code

    for job_id in job_ids:
        job = ended.get(job_id)
        if job is None and not any_one:
            return HODEI_FAILED
        if job and (code := exit_code(job)):
            return code
    return 0 if ended else HODEI_FAILED


def _words(left: dict[str, None]) -> str:
    """The jobs that have not ended: `job …, … and 3 more have`."""
    named = ", ".join(list(left)[:MOST_NAMED])
    more = f" and {len(left) - MOST_NAMED} more" if len(left) > MOST_NAMED else ""
    return f"job {named} has" if len(left) == 1 else f"jobs {named}{more} have"
