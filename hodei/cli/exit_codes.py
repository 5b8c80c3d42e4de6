"""The exit codes of commands that end as a job ended: `job run`, `job wait`, `job logs --exit-code`.

One table, which the help of `job run` shows and docs/command-line.md repeats."""

import textwrap
from typing import NamedTuple

from hodei.domain.job import JobState, Reason
from hodei.shapes.job import Job

TIMED_OUT, HODEI_FAILED, INTERRUPTED, OUT_OF_MEMORY = 124, 125, 130, 137
OF_A_SIGNAL = 128
"""Added to the number of a signal, as shells do."""

WAITED_TOO_LONG = "waited in the queue longer than "
"""How the message of a job begins whose queue_timeout passed (EXPIRE in hodei/store/job_queue.py).
The reason is TIMEOUT for each limit of time, and the last attempt of a job that waits for its next
one may have left an exit code."""

HELP_COLUMNS = 76
"""Width of the table in help texts, which are indented by two."""


class Row(NamedTuple):
    """A line of the table."""

    code: str
    meaning: str


TABLE = (
    Row("0", "the job SUCCEEDED"),
    Row("its own", "the job's process ended with this code (EXIT_NONZERO)"),
    Row("128 + n", "signal n ended the job's process (SIGNALED), as 137 for KILL"),
    Row("124", "a time limit of the running job passed (TIMEOUT)"),
    Row("137", "the kernel killed the job because memory was short (OOM_KILLED)"),
    Row("130", "Ctrl-C here; the job runs on unless you cancel it"),
    Row("143", "SIGTERM ended this command (129: SIGHUP); the job runs on"),
    Row("141", "the reader of this command's output has gone; the job runs on"),
    Row(
        "125",
        "Hodei could not do it, and stderr says why: no server, a refused job, a job that others "
        "cancelled, that could not start, was lost, or waited too long in the queue",
    ),
    Row("2", "the command line is wrong"),
)


def help_lines() -> str:
    """The table for the end of a help text, as click prints it unchanged."""
    width = max(len(row.code) for row in TABLE)
    rows = (
        textwrap.fill(
            row.meaning,
            HELP_COLUMNS,
            initial_indent=f"  {row.code:<{width}}  ",
            subsequent_indent=" " * (width + 4),
        )
        for row in TABLE
    )
    return "\b\nExit codes:\n" + "\n".join(rows)


def exit_code(job: Job) -> int:
    """The exit code for a job that has ended, by the table."""
    if job.state == JobState.SUCCEEDED:
        return 0
    if job.reason == Reason.TIMEOUT and not (job.message or "").startswith(WAITED_TOO_LONG):
        return TIMED_OUT
    if job.reason == Reason.OOM_KILLED:
        return OUT_OF_MEMORY
    if job.reason == Reason.EXIT_NONZERO and job.exit_code:
        return job.exit_code
    if job.reason == Reason.SIGNALED and job.signal:
        return OF_A_SIGNAL + job.signal
    return HODEI_FAILED
