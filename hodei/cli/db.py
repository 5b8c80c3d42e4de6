"""`hodei db …`: the schema, straight to the database."""

import sys

import click

from hodei.cli import show
from hodei.cli.database_url import database_url_options
from hodei.cli.groups import Group
from hodei.shapes.fleet import Maintenance


@click.group(
    cls=Group,
    epilog="\b\nExample:\n  HODEI_DATABASE_URL_FILE=/etc/hodei/database-url hodei db check",
)
def db() -> None:
    """Apply and check the database's schema."""


@db.command(epilog="\b\nExample:\n  hodei db apply")
@database_url_options(required=True)
def apply(database_url: str) -> None:
    """Create or upgrade Hodei's tables. It is safe to repeat."""
    from hodei.domain.errors import HodeiError
    from hodei.store import schema

    try:
        click.echo(schema.apply_sync(database_url))
    except HodeiError as error:
        raise click.ClickException(str(error)) from error


@db.command(epilog="\b\nExample:\n  hodei db check")
@database_url_options(required=True)
def check(database_url: str) -> None:
    """Check that the schema is complete and that this role has a server's rights; exit code 1 when
    not."""
    from hodei.domain.errors import HodeiError
    from hodei.store import schema

    try:
        stands, words = schema.check_sync(database_url)
    except HodeiError as error:
        raise click.ClickException(str(error)) from error
    click.echo(words)
    sys.exit(0 if stands else 1)


@db.command(epilog="\b\nExample:\n  hodei db maintain --keep-days 30")
@database_url_options(required=True)
@click.option(
    "--keep-days",
    envvar="HODEI_KEEP_DAYS",
    default=30,
    show_default=True,
    type=click.IntRange(min=0),
    help="0: delete nothing.",
)
@show.format_option
def maintain(database_url: str, keep_days: int, output: str) -> None:
    """Create the partitions of the next days; delete what is older than --keep-days. Servers do the
    same by themselves, each hour."""
    import asyncio

    import psycopg

    from hodei.domain.errors import HodeiError
    from hodei.flow.maintain import Maintainer
    from hodei.store import schema, sqlstate
    from hodei.store.database import Database
    from hodei.store.retention import Busy

    def progress(report: Maintenance) -> None:
        if output == "table" and sys.stderr.isatty():
            click.echo(
                f"\r{report.jobs_deleted} jobs deleted, {len(report.days_dropped)} days dropped",
                nl=False,
                err=True,
            )

    async def run() -> Maintenance:
        async with Database(database_url) as database:
            return await Maintainer(database, keep_days).once(progress)

    try:
        schema.check_whole(database_url)
        report = asyncio.run(run())
    except (HodeiError, Busy, psycopg.Error) as error:
        raise click.ClickException(sqlstate.primary(error)) from error
    if show.emit(output, report):
        return
    _say(report)
    sys.exit(1 if report.refused else 0)


def _say(report: Maintenance) -> None:
    """Prints what the maintenance did."""
    click.echo(f"{report.days_made} partitions made ahead")
    click.echo(
        f"{report.jobs_deleted} final jobs, {report.workers_deleted} terminated workers, {report.tokens_deleted} dead tokens deleted"
    )
    dropped = f": {', '.join(report.days_dropped)}" if report.days_dropped else ""
    click.echo(f"{len(report.days_dropped)} days dropped{dropped}")
    for name, job_id in report.days_held.items():
        click.echo(f"{name} stays: job {job_id} has its story in it")
    for name in report.days_busy:
        click.echo(f"{name} stays for now: another transaction holds a lock on it")
    if report.stray_events or report.stray_chunks:
        click.echo(
            f"{report.stray_events} events and {report.stray_chunks} log chunks lie in default partitions: no day was ready for them"
        )
    for words in dict.fromkeys(report.refused):
        click.echo(f"Error: {words}", err=True)
