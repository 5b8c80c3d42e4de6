"""`hodei db …`: the schema, straight to the database."""

import sys
from collections.abc import Iterable, Iterator

import click

from hodei.cli import show
from hodei.cli.database_url import database_url_options
from hodei.cli.db_adopt_copy import adopt_copy
from hodei.cli.groups import Group
from hodei.domain.text import shown
from hodei.shapes.fleet import Maintenance, Restoration, SchemaReport


@click.group(
    cls=Group,
    epilog="\b\nExample:\n  HODEI_DATABASE_URL_FILE=/etc/hodei/database-url hodei db check",
)
def db() -> None:
    """Apply and check the database's schema; maintain its tables."""


db.add_command(adopt_copy)


@db.command(epilog="\b\nExample:\n  hodei db apply")
@database_url_options(required=True)
@show.format_option
def apply(database_url: str, output: str) -> None:
    """Create or upgrade Hodei's tables. It is safe to repeat."""
    from hodei.domain.errors import HodeiError
    from hodei.store import schema

    try:
        done = schema.apply_sync(database_url)
    except HodeiError as error:
        raise click.ClickException(str(error)) from error
    report = SchemaReport(
        complete=True, changed=done.startswith("applied"), findings=[*_sentences(done.split("; "))]
    )
    if not show.emit(output, report):
        _say(report.findings)


@db.command(epilog="\b\nExample:\n  hodei db check")
@database_url_options(required=True)
@show.format_option
def check(database_url: str, output: str) -> None:
    """Check that the schema is complete and that this role has a server's rights; exit code 1 when
    not."""
    from hodei.domain.errors import HodeiError
    from hodei.store import schema_check

    try:
        complete, words = schema_check.check_sync(database_url)
    except HodeiError as error:
        raise click.ClickException(str(error)) from error
    findings = [*_sentences(words.splitlines())]
    if complete:
        findings.insert(1, "This role has the rights that a server needs.")
    report = SchemaReport(complete=complete, findings=findings)
    if not show.emit(output, report):
        _say(report.findings)
    sys.exit(0 if complete else 1)


def _sentences(found: Iterable[str]) -> Iterator[str]:
    """Each finding with a capital and a full stop."""
    for words in found:
        yield words[:1].upper() + words[1:] + ("" if words.endswith((".", ")")) else ".")


@db.command(
    epilog="\b\nExample:\n  hodei db maintain --keep-days 30\n  hodei db maintain --format json"
)
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
    same by themselves, each hour. Exit code 1 when this role may not do all of it."""
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
    if not show.emit(output, report):
        _say(_maintained(report, keep_days))
    for words in dict.fromkeys(report.refused):
        click.echo(f"Error: {shown(words)}", err=True)
    sys.exit(1 if report.refused else 0)


def _maintained(report: Maintenance, keep_days: int) -> Iterator[str]:
    """What the maintenance did, in sentences."""
    if report.days_made:
        yield f"Created {show.counted(report.days_made, 'partition')} for the next days."
    else:
        yield "No partition for the next days was created."
    yield from _deleted(report, keep_days)
    for name, job_id in report.days_held.items():
        yield f"{name} stays, because job {job_id} has its events or its log in it."
    for name in report.days_busy:
        yield f"{name} stays for now, because another transaction holds a lock on it."
    if report.stray_events or report.stray_chunks:
        yield (
            f"{show.counted(report.stray_events, 'event')} and {show.counted(report.stray_chunks, 'log chunk')}"
            " are in the default partitions, because there was no partition for their day."
        )


def _deleted(report: Maintenance, keep_days: int) -> Iterator[str]:
    if not keep_days:
        yield "Nothing was deleted, because --keep-days is 0."
        return
    yield (
        f"Deleted what is older than {show.counted(keep_days, 'day')}:"
        f" {show.counted(report.jobs_deleted, 'final job')},"
        f" {show.counted(report.workers_deleted, 'terminated worker')},"
        f" {show.counted(report.tokens_deleted, 'dead token')},"
        f" {show.counted(len(report.days_dropped), 'partition')} of events and logs."
    )
    if report.days_dropped:
        yield f"The partitions were {', '.join(report.days_dropped)}."


@db.command(epilog="\b\nExample:\n  hodei db restored")
@database_url_options(required=True)
@show.format_option
def restored(database_url: str, output: str) -> None:
    """Make a database safe that was restored to an earlier time. Run it before servers start again:
    no claim gets a number that a worker still holds, no token can be redeemed, and all providers
    are paused. It is safe to repeat."""
    from hodei.cli.client import caller
    from hodei.domain.errors import HodeiError
    from hodei.store import schema
    from hodei.store.restored import make_safe

    try:
        schema.check_whole(database_url)
        done = make_safe(database_url, f"cli:{caller()}")
    except HodeiError as error:
        raise click.ClickException(str(error)) from error
    report = Restoration(
        next_lease=done.next_lease,
        tokens_consumed=done.tokens,
        providers_paused=done.providers,
        servers=done.servers,
    )
    if not show.emit(output, report):
        _say(_made_safe(report))


def _made_safe(report: Restoration) -> Iterator[str]:
    """What was made safe, and what is left to do, in sentences."""
    yield (
        f"The next claim gets the number {report.next_lease}. What workers hold from after the"
        " restored time is refused, and its results are kept as JobLateResult."
    )
    yield (
        f"Consumed {show.counted(report.tokens_consumed, 'token')}. Make new ones with"
        " `hodei token create` for workers that have registered since."
    )
    yield f"Paused {show.counted(len(report.providers_paused), 'provider')}" + (
        f": {', '.join(report.providers_paused)}." if report.providers_paused else "."
    )
    yield (
        "Whatever was revoked after the restored time is valid again: look at `hodei worker list`"
        " and revoke it again."
    )
    if report.servers:
        yield (
            f"{show.counted(report.servers, 'server')} ran before this command and may have given numbers"
            " to a worker that holds them already: stop the servers first, the next time."
        )


def _say(sentences: Iterable[str]) -> None:
    for sentence in sentences:
        click.echo(shown(sentence))
