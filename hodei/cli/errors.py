"""Errors of the command line: one line for people, or one JSON object for programs, and an exit
code."""

import itertools
import json
import re
import sys
from collections.abc import Mapping, Sequence

import click

from hodei.cli import suggestions, unquoted
from hodei.cli.exit_codes import HODEI_FAILED
from hodei.domain.text import shown, shown_json
from hodei.shapes.error import Error, ErrorKind
from hodei.shapes.rendering import as_dict


class Failure(click.ClickException):
    """Hodei could not do what was asked. `kind`: for programs."""

    exit_code = HODEI_FAILED

    def __init__(self, message: str, kind: ErrorKind = ErrorKind.FAILED) -> None:
        super().__init__(message)
        self.kind = kind


class Lines(str):
    """A message that has several lines on purpose. In any other one the end of a line comes from what
    it quotes, as the name of a file, and is shown as `\\n`."""

    __slots__ = ()


def described(error: click.ClickException, failed: int = HODEI_FAILED) -> Error:
    """An error as it is shown. `failed`: the exit code where the error names none of its own."""
    from hodei.domain import api_key  # each start of `hodei` would pay for its hashes

    default = click.ClickException.exit_code
    code = failed if error.exit_code in (default, HODEI_FAILED) else error.exit_code
    kind = getattr(
        error, "kind", ErrorKind.USAGE if isinstance(error, click.UsageError) else ErrorKind.FAILED
    )
    lines = _lines(error, api_key.hidden(message_of(error)))
    return Error(message="\n".join(map(_bounded, lines)), kind=kind, exit_code=code)


def _lines(error: click.ClickException, words: str) -> list[str]:
    return words.split("\n") if isinstance(error.message, Lines) else [words]


LONGEST_LINE = 1000
"""Characters of a line of an error, which may quote what was given: a screen or two."""


def _bounded(line: str) -> str:
    """A line, without its middle where it is longer."""
    if len(line) <= LONGEST_LINE:
        return line
    return f"{line[: LONGEST_LINE - 300]} … {line[-297:]}"


def message_of(error: click.ClickException) -> str:
    """The words of an error, the ones of click in our form."""
    if words := unquoted.message_of(error):
        return words
    if isinstance(error, click.NoSuchOption):
        return suggestions.unknown_flag(error.ctx, error.option_name)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        return "expected a command, got none"
    if isinstance(error, click.MissingParameter):
        return f"{_flag(error)}: expected a value, got none"
    if isinstance(error, click.BadParameter):
        return f"{_flag(error)}: {_expectation(error)}"
    return _in_our_form(error.format_message())


_FORMS = (
    (r"Option '(.*)' requires an argument\.", r"\1: expected a value, got none"),
    (r"Option '(.*)' does not take a value\.", r"\1: expected no value, got one"),
    (r"Got unexpected extra arguments? \((.*)\)", r"expected nothing more, got \1"),
    (r"Missing command\.", "expected a command, got none"),
)
"""Messages of click's that have no class of their own, and what stands in their place."""


def _in_our_form(message: str) -> str:
    for form, ours in _FORMS:
        if found := re.fullmatch(form, message, re.DOTALL):
            return found.expand(ours)
    return message


def _flag(error: click.BadParameter) -> str:
    if error.param is None:
        return "the command line"
    if isinstance(error.param, click.Argument):
        return error.param.make_metavar(error.ctx) if error.ctx else error.param.human_readable_name
    return max(error.param.opts, key=len)


_NO_CHOICE = re.compile(r"(?P<given>.*) is not one of .*", re.DOTALL)


def _expectation(error: click.BadParameter) -> str:
    kind = error.param.type if error.param else None
    found = _NO_CHOICE.fullmatch(error.message)
    if not found or not isinstance(kind, click.Choice):
        return error.message
    return f"expected one of {', '.join(map(str, kind.choices))}, got {found['given']}"


def tell(error: click.ClickException, shown_as: Error, *, as_json: bool) -> None:
    """Writes an error to standard error: as JSON, or its message and, where the command line is
    wrong, where its help is. OSError: nobody can be told."""
    if as_json:
        text = shown_json(json.dumps({"error": as_dict(shown_as)}, ensure_ascii=not _is_utf8()))
        click.echo(text, err=True)
        return
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    lines = [shown(line) for line in _lines(error, shown_as.message)]
    click.echo("\n".join(["Error: " + lines[0], *lines[1:]]), err=True)
    ctx = error.ctx if isinstance(error, click.UsageError) else None
    if ctx is not None and ctx.command.get_help_option(ctx) is not None:
        click.echo(f"Help: {ctx.command_path} --help", err=True)


def _is_utf8() -> bool:
    return (sys.stderr.encoding or "ascii").lower().replace("-", "") == "utf8"


_FORMAT = re.compile(r"(?:^|\0)(?:-o|--format)[\0=]?(\w*)")


def wants_document(arguments: Sequence[str], environment: Mapping[str, str]) -> bool:
    """Whether errors are to be JSON. The words alone tell: what is wrong with them may be why they
    could not be read further."""
    ours = itertools.takewhile(lambda word: word != "--", arguments)
    formats = _FORMAT.findall("\0".join(ours)) or [environment.get("HODEI_FORMAT")]
    return formats[-1] in ("json", "yaml")
