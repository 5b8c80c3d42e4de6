"""`hodei job …`: the group; each of its commands stands in a module `job_…`."""

import click

from hodei.cli import job_control, job_history, job_logs, job_run, job_show, job_submit, job_wait
from hodei.cli.groups import Group


@click.group(
    cls=Group,
    epilog="""\b
Example:
  hodei job run --name hello --command "echo hello"
  hodei job run --script backup.sh --env DAY=monday --timeout 10m
  hodei job run -- tar czf /tmp/etc.tgz /etc""",
)
def job() -> None:
    """Run, submit, follow and cancel jobs."""


for command in (
    job_run.run,
    job_submit.submit,
    job_show.list_jobs,
    job_show.get,
    job_logs.logs,
    job_wait.wait,
    job_control.cancel,
    job_control.retry,
    job_history.timeline,
    job_history.attempts,
):
    job.add_command(command)
