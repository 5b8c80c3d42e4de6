"""The columns of a table of jobs."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import click

from hodei.cli import show
from hodei.cli.job_view import took, worker
from hodei.cli.waits import waits_for
from hodei.shapes.job import Job


class _Of(NamedTuple):
    """A column of a table of jobs, and a job's cell in it."""

    column: show.Column
    cell: Callable[[Job], str]


COLUMNS = {
    of.column.title.replace(" ", "-"): of
    for of in (
        _Of(show.Column("id"), lambda job: show.short_id(job.job_id)),
        _Of(show.Column("name", cut=True), lambda job: job.name),
        _Of(show.Column("state"), lambda job: job.state),
        _Of(show.Column("reason", leaves=1), lambda job: job.reason or ""),
        _Of(show.Column("created"), lambda job: show.clock_cell(job.created_at)),
        _Of(show.Column("took", leaves=3), took),
        _Of(show.Column("worker", leaves=2, cut=True), worker),
        _Of(show.Column("attempts", leaves=5), lambda job: str(job.attempts)),
        _Of(
            show.Column("waits for", leaves=4, cut=True, least=30),
            lambda job: waits_for(job.waiting_for),
        ),
        _Of(show.Column("started"), lambda job: show.clock_cell(job.started_at)),
        _Of(show.Column("completed"), lambda job: show.clock_cell(job.completed_at)),
        _Of(show.Column("priority"), lambda job: str(job.priority)),
        _Of(show.Column("actor", cut=True), lambda job: job.actor),
        _Of(show.Column("correlation id", cut=True), lambda job: job.correlation_id),
        _Of(
            show.Column("exit code"),
            lambda job: "" if job.exit_code is None else str(job.exit_code),
        ),
        _Of(show.Column("message", cut=True), lambda job: job.message or ""),
        _Of(show.Column("repeats"), lambda job: show.short_id(job.retry_of)),
        _Of(show.Column("project", cut=True), lambda job: job.project),
    )
}
"""Every column, by the name that --columns takes."""

USUAL = ("id", "name", "state", "reason", "created", "took", "worker", "attempts", "waits-for")
"""The columns that are shown when nobody says which."""


class Columns(click.ParamType[tuple[str, ...]]):
    """Names of columns with commas between them."""

    name = "columns"

    def convert(
        self, value: object, _param: click.Parameter | None, _ctx: click.Context | None
    ) -> tuple[str, ...]:
        """UsageError: there is no such column, or none is named."""
        if isinstance(value, tuple):
            return value
        names = tuple(name.strip().lower() for name in str(value).split(",") if name.strip())
        for name in names or ("",):
            if name not in COLUMNS:
                self.fail(f"expected some of {', '.join(COLUMNS)}, got {name[:80]!r}")
        return names


def table(jobs: Sequence[Job], names: Sequence[str]) -> None:
    """The jobs as a table; columns that somebody has named do not leave."""
    columns = [COLUMNS[name] for name in names]
    heads = [of.column for of in columns]
    if tuple(names) != USUAL:
        heads = [show.Column(head.title, cut=head.cut) for head in heads]
    show.table(heads, [[of.cell(job) for of in columns] for job in jobs], none="no jobs")
