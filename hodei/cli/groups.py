"""Groups of commands: a command's module is imported only when it is called, every command gets the
global flags, and a wrong word is answered with what may have been meant."""

import importlib
from typing import Any, NamedTuple

import click

from hodei.cli import suggestions
from hodei.cli.global_flags import prepare

LONGEST_ABOUT = 300
"""Characters of a command's first sentence in a list, which is wrapped and not cut."""


class Lazy(NamedTuple):
    """Where a command is, and the line that tells of it without importing it."""

    module: str
    name: str
    about: str


class Group(click.Group):
    """`lazy`: commands by their names, besides those that are added."""

    def __init__(self, *args: Any, lazy: dict[str, Lazy] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*self._lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if (lazy := self._lazy.get(cmd_name)) is not None:
            command: click.Command | None = getattr(importlib.import_module(lazy.module), lazy.name)
        else:
            command = super().get_command(ctx, cmd_name)
        if command is not None:
            prepare(command, [*suggestions.words_of(ctx), cmd_name])
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if not ctx.resilient_parsing and word[:1] != "-" and self.get_command(ctx, word) is None:
            raise click.UsageError(suggestions.unknown_command(ctx, word), ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        shown = [name for name in self.list_commands(ctx) if not self._is_hidden(name)]
        with formatter.section("Commands"):
            formatter.write_dl([(name, self._about(name)) for name in shown])

    def _is_hidden(self, name: str) -> bool:
        return name not in self._lazy and self.commands[name].hidden

    def _about(self, name: str) -> str:
        lazy = self._lazy.get(name)
        return lazy.about if lazy else self.commands[name].get_short_help_str(LONGEST_ABOUT)
