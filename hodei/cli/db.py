"""`hodei db …`: the schema, straight to the database."""

import sys

import click


@click.group(epilog="\b\nExample:\n  hodei db check --database-url postgres://postgres:postgres@localhost:5432/postgres")
def db() -> None:
    """Apply and check the database's schema."""


database_url = click.option(
    "--database-url", envvar=["HODEI_DATABASE_URL", "DATABASE_URL"], required=True, help="PostgreSQL, as postgres://… (DATABASE_URL)."
)


@db.command(epilog="\b\nExample:\n  hodei db apply")
@database_url
def apply(database_url: str) -> None:
    """Create or complete Hodei's tables; changes nothing when they stand."""
    import psycopg

    from hodei.domain.errors import HodeiError
    from hodei.store import schema

    try:
        click.echo(schema.apply_sync(database_url))
    except (HodeiError, psycopg.Error) as error:
        raise click.ClickException(str(error).strip()) from error


@db.command(epilog="\b\nExample:\n  hodei db check")
@database_url
def check(database_url: str) -> None:
    """Say whether the tables stand; exit code 1 when they do not."""
    import psycopg

    from hodei.store import schema

    try:
        stands, words = schema.check_sync(database_url)
    except psycopg.Error as error:
        raise click.ClickException(str(error).strip()) from error
    click.echo(words)
    sys.exit(0 if stands else 1)
