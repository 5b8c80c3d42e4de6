"""The options that say where the database is, the same for every command that goes there itself."""

import functools
import os
from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from hodei_worker import secret_file

VISIBLE = "Visible to all users of this host when given here."
MISSING = (
    "no database: set HODEI_DATABASE_URL_FILE (or give --database-url-file) to a file that holds "
    "postgres://user:password@host:5432/name, or set DATABASE_URL"
)


def database_url_options(
    *,
    ambient: bool = True,
    required: bool = False,
    check: bool = True,
    about: str = "PostgreSQL, as postgres://…",
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Adds --database-url and --database-url-file; the command gets `database_url`, None when
    neither was given.

    Without `ambient` the environment is not asked, for commands that have a database of their own.
    With `required` the command is not run without a URL. Without `check` the command calls
    check_url itself, after its other settings.
    """

    def add(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def resolved(**given: Any) -> Any:
            context = click.get_current_context()
            url = secret_file.value_of(context, "database_url")
            if check and url is not None:
                check_url(context, "database_url", url)
            given["database_url"] = needed(url) if required else url
            del given["database_url_file"]
            return command(**given)

        by_file = click.option(
            "--database-url-file",
            envvar="HODEI_DATABASE_URL_FILE" if ambient else None,
            allow_from_autoenv=ambient,
            metavar="FILE",
            help="A file that holds the URL.",
        )
        by_value = click.option(
            "--database-url",
            envvar=["HODEI_DATABASE_URL", "DATABASE_URL"] if ambient else None,
            allow_from_autoenv=ambient,
            help=f"{about} {VISIBLE}",
        )
        return by_value(by_file(resolved))

    return add


def check_url(context: click.Context, name: str, url: str) -> None:
    """Checks the value of the options --NAME and --NAME-file. UsageError: it is no URL, in one
    line that names where it came from and shows nothing of it."""
    from hodei.domain.errors import Invalid
    from hodei.store import connecting

    try:
        connecting.check_url(url, _source(context, name))
    except Invalid as error:
        raise click.UsageError(str(error)) from None


def _source(context: click.Context, name: str) -> str:
    """The flag or the variable that the value came from, by the rules of secret_file.value_of."""
    flag = f"--{name.replace('_', '-')}"
    for option, spelled in ((f"{name}_file", f"{flag}-file"), (name, flag)):
        if context.get_parameter_source(option) is ParameterSource.COMMANDLINE:
            return spelled
    variables = [f"HODEI_{name.upper()}_FILE", f"HODEI_{name.upper()}", "DATABASE_URL"]
    return next((variable for variable in variables if os.environ.get(variable)), flag)


def needed(url: str | None) -> str:
    if url is None:
        raise click.UsageError(MISSING)
    return url
