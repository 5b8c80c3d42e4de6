"""Texts that choose: an empty one, as of a variable that is not set, does not mean everything."""

from typing import Any

import click


class Text(click.ParamType[str]):
    """A text that is not empty, where the flag is given. UsageError names the flag."""

    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value == "" and _is_given(param, ctx):
            self.fail("expected a value, got an empty one", param, ctx)
        return str(value)


def _is_given(param: click.Parameter | None, ctx: click.Context | None) -> bool:
    """Whether the value is not the default."""
    source = ctx.get_parameter_source(param.name or "") if ctx and param else None
    return source is click.core.ParameterSource.COMMANDLINE
