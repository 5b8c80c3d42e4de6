"""`hodei db adopt-copy`."""

import click

from hodei.cli import show
from hodei.cli.database_url import database_url_options
from hodei.shapes.fleet import SchemaReport


@click.command(name="adopt-copy", epilog="\b\nExample:\n  hodei db adopt-copy")
@database_url_options(required=True)
@click.option("--moved", is_flag=True, help="The original is gone: keep its id and its workers.")
@show.format_option
def adopt_copy(database_url: str, moved: bool, output: str) -> None:
    """Make a copy of a database a database of its own, so that it makes workers on demand.

    It gets an id of its own: the workers of its original are left alone. Restart its servers and
    workers afterwards."""
    from hodei.domain.errors import HodeiError
    from hodei.store import cluster, schema

    try:
        schema.check_whole(database_url)
        was_copy, cluster_id = cluster.adopt_sync(database_url, keep_id=moved)
    except HodeiError as error:
        raise click.ClickException(str(error)) from error
    words = (
        f"The copy is adopted; the id of this database is {cluster_id}."
        if was_copy
        else f"This database is no copy; its id stays {cluster_id}."
    )
    report = SchemaReport(complete=True, changed=was_copy, findings=[words])
    if not show.emit(output, report):
        click.echo(words)
