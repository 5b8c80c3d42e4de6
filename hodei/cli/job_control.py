"""`hodei job cancel` and `retry`: of one job, of several, or of all that a filter wants."""

from collections.abc import Sequence

import click

from hodei.cli.client import Client
from hodei.cli.job_calls import cancel_jobs, retry_jobs
from hodei.cli.job_change import Options, Verb, change, change_options
from hodei.cli.job_filter import Wanted
from hodei.domain.job import FINAL, JobState
from hodei.domain.job_change import Change, Refusal
from hodei.shapes.job import JobChange


def _cancel(client: Client, ids: Sequence[str], wanted: Wanted) -> list[JobChange]:
    return cancel_jobs(client, ids, wanted.states)


def _retry(client: Client, ids: Sequence[str], _wanted: Wanted) -> list[JobChange]:
    return retry_jobs(client, ids)


def _cancelled(change: JobChange) -> str:
    if change.change == Change.CANCELLED:
        return f"job {change.job_id} is {change.state}"
    return f"cancel of job {change.job_id} requested"


CANCEL = Verb(
    name="cancel",
    past="cancelled",
    may=lambda state: state not in FINAL,
    cannot="already ended",
    refusal=Refusal.ENDED,
    would=lambda state: Change.CANCELLED if state == JobState.PENDING else Change.CANCEL_REQUESTED,
    call=_cancel,
    words=_cancelled,
)
RETRY = Verb(
    name="retry",
    past="run again",
    may=lambda state: state in FINAL,
    cannot="not ended",
    refusal=Refusal.NOT_ENDED,
    would=lambda _state: Change.RETRIED,
    call=_retry,
    words=lambda change: change.new_job_id or "",
    oldest_first=True,
)


@click.command(
    epilog="""\b
Example:
  hodei job cancel 584a465b-d208-4a05-beef-8671b9bc2805
  hodei job cancel --last
  hodei job cancel --name "backup-*" --state PENDING --dry-run"""
)
@change_options
@click.pass_obj
def cancel(
    servers: str,
    job_ids: list[str],
    wanted: Wanted,
    dry_run: bool,
    yes: bool,
    quiet: bool,
    output: str,
) -> None:
    """Stop jobs: TERM to all their processes, KILL after their grace; queued ones at once.

    The jobs are named by their IDs, or they are all that have what the flags say; then you are
    asked first."""
    change(servers, CANCEL, job_ids, wanted, Options(dry_run, yes, quiet, output))


@click.command(
    epilog="""\b
Example:
  hodei job retry 584a465b-d208-4a05-beef-8671b9bc2805
  hodei job retry --state FAILED --reason WORKER_LOST --since 2h --dry-run"""
)
@change_options
@click.pass_obj
def retry(
    servers: str,
    job_ids: list[str],
    wanted: Wanted,
    dry_run: bool,
    yes: bool,
    quiet: bool,
    output: str,
) -> None:
    """Run ended jobs again, as new jobs with the same specs. Prints the new ids.

    The jobs are named by their IDs, or they are all that have what the flags say; then you are
    asked first."""
    change(servers, RETRY, job_ids, wanted, Options(dry_run, yes, quiet, output))
