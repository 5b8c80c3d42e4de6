"""Arguments that are ids."""

import uuid
from collections.abc import Callable
from typing import Any

import click


def id_argument(name: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The argument ID of a command, a UUID, passed as `name`."""

    def check(_ctx: click.Context, _param: click.Parameter, text: str) -> str:
        try:
            return str(uuid.UUID(text))
        except ValueError:
            raise click.UsageError(f"ID: expected a UUID, got {text!r}") from None

    return click.argument(name, metavar="ID", callback=check)


job_id_argument = id_argument("job_id")
worker_id_argument = id_argument("worker_id")
