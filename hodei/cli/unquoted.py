"""Commands whose words may hold a secret by mistake: a value or a key that was typed as an argument."""

import re
from typing import Any

import click

_FLAG = re.compile("--?[a-z][a-z-]{0,30}")


class Unquoted(click.Command):
    """Its errors quote no word that it did not expect. `instead`: where the secret comes from, which
    they say."""

    def __init__(self, *args: Any, instead: str, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.instead = instead


def message_of(error: click.ClickException) -> str | None:
    """The words for an unexpected word of such a command; None: it is another error."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is None or not isinstance(context.command, Unquoted):
        return None
    if isinstance(error, click.NoSuchOption):
        if _FLAG.fullmatch(error.option_name):
            return None
        return f"no such option: {context.command.instead}"
    if error.message.startswith("Got unexpected extra argument"):
        return f"expected nothing more: {context.command.instead}"
    return None
