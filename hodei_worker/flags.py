"""What the flags of all programs have in common: their help shows by which variables each is set too,
none takes an empty text, and whole numbers are digits."""

import os
import re
from typing import Any

import click
from click.core import ParameterSource
from click.types import IntParamType

LIMITS = ("project", "expires")
"""Options that limit something: the variables of these must not be empty either. Other variables
that are empty count as not set."""


def environment_shown(command: click.Command) -> click.Command:
    """The same command, whose help shows by which variables each flag is set too."""
    for option in command.params:
        if isinstance(option, click.Option) and option.envvar:
            option.show_envvar = True
    return command


class WholeNumber(IntParamType):
    """A whole number as JSON and durations write it: digits of ASCII, and a minus sign where it is
    negative. Python reads 1_0, +5, blanks and digits of other scripts as well."""

    about = "a whole number"
    least, most = -(1 << 63), (1 << 63) - 1

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not isinstance(value, str):
            return value
        number = int(value) if re.fullmatch("-?[0-9]{1,19}", value) else None
        if number is None or not self.least <= number <= self.most:
            self.fail(f"expected {self.about}, got {value[:80]!r}", param, ctx)
        return number


class WholeNumberInRange(WholeNumber, click.IntRange):
    """The same between two bounds, or from one on."""

    def __init__(self, least: int, most: int | None) -> None:
        click.IntRange.__init__(self, least, most)
        self.least = least
        self.most = most if most is not None else WholeNumber.most
        to = f"from {least} to {most}" if most is not None else f"of at least {least}"
        self.about = f"{WholeNumber.about} {to}"


def whole_numbers(command: click.Command) -> click.Command:
    """The same command, whose whole numbers are of these types."""
    for option in command.params:
        kind = option.type
        if type(kind) is IntParamType:
            option.type = WholeNumber()
        elif type(kind) is click.IntRange:
            option.type = WholeNumberInRange(int(kind.min or 0), kind.max and int(kind.max))
    return command


def empty_refused(command: click.Command) -> click.Command:
    """The same command, of which no flag takes an empty text: in a script it comes from a variable
    that is not set, and would mean what is meant without the flag, as all projects."""
    for option in command.params:
        if isinstance(option, click.Option) and not option.is_flag:
            refuse_empty(option)
    return command


def refuse_empty(option: click.Option) -> None:
    """Makes an empty text as the option's value a UsageError."""
    then = option.callback

    def checked(context: click.Context, param: click.Parameter, value: Any) -> Any:
        if not context.resilient_parsing:
            _check(context, param, value)
        return then(context, param, value) if then else value

    option.callback = checked


def _check(context: click.Context, param: click.Parameter, value: Any) -> None:
    source = context.get_parameter_source(param.name or "")
    values = value if isinstance(value, tuple | list) else (value,)
    if source is ParameterSource.COMMANDLINE and "" in values:
        flag = max(param.opts, key=len)
        raise click.UsageError(f"{flag}: expected a value, got an empty one", context)
    if param.name in LIMITS and source is not ParameterSource.COMMANDLINE:
        names = [param.envvar] if isinstance(param.envvar, str) else param.envvar or ()
        if empty := next((n for n in names if not os.environ.get(n, "-").strip()), None):
            raise click.UsageError(
                f"{empty}: expected a value, got an empty one; unset it", context
            )
