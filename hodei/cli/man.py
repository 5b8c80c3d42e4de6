"""The manual page, made from the commands: `hodei help --man`."""

import re
from collections.abc import Iterator
from typing import Any

import click

import hodei
from hodei.cli import suggestions
from hodei.cli.global_flags import ABOUT

HEAD = ".TH HODEI 1 {date} {version} {title}"

SEE_ALSO = "hodei\\-server --help, hodei\\-worker --help, and the pages in docs/."


def page(root: click.Context) -> str:
    """The whole page, in the macros of man(7)."""
    title = _quoted("Hodei's manual")
    lines = [HEAD.format(date='""', version=_quoted(f"hodei {hodei.__version__}"), title=title)]
    lines += [
        ".SH NAME",
        "hodei \\- run jobs on your workers, with PostgreSQL as the only coordinator",
    ]
    lines += [".SH SYNOPSIS", ".B hodei", "[OPTIONS] COMMAND [ARGS]..."]
    lines += [".SH DESCRIPTION", *_text(root.command.help or "")]
    lines += [".SH OPTIONS", *_options(root), ".SH COMMANDS"]
    for path in suggestions.command_paths(root):
        lines += _command(root, path)
    lines += [".SH EXAMPLES", *_text(root.command.epilog or "")]
    lines += [".SH SEE ALSO", SEE_ALSO]
    return "\n".join(lines) + "\n"


def _command(root: click.Context, path: tuple[str, ...]) -> Iterator[str]:
    here = root
    for word in path:
        group: Any = here.command
        here = click.Context(group.get_command(here, word), parent=here, info_name=word)
    command = here.command
    usage = " ".join(command.collect_usage_pieces(here))
    yield f".SS {_quoted(f'{here.command_path} {usage}')}"
    yield from _text(command.help or "")
    yield from _options(here)
    yield from _text((command.epilog or "").replace(ABOUT, ""))


def _options(ctx: click.Context) -> Iterator[str]:
    for param in ctx.command.params:
        record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
        if record is not None:
            yield ".TP"
            yield f".B {_escaped(record[0])}"
            yield _escaped(" ".join(record[1].split())) or "\\&"


def _text(text: str) -> Iterator[str]:
    """Paragraphs; those that begin with click's mark `\\b` stay line by line."""
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        as_it_is = paragraph.startswith("\b")
        if paragraph:
            yield ".PP"
        if as_it_is:
            yield from [".nf", *map(_escaped, paragraph[1:].strip("\n").split("\n")), ".fi"]
        else:
            yield from filter(None, [_escaped(" ".join(paragraph.split()))])


def _escaped(line: str) -> str:
    """A line of text that troff prints as it is: a hyphen that can be copied, no request."""
    text = line.replace("\\", "\\e").replace("-", "\\-").replace("…", "...").replace("`", "\\(ga")
    return f"\\&{text}" if text.startswith((".", "'")) else text


def _quoted(text: str) -> str:
    return '"' + _escaped(text).replace('"', "\\(dq") + '"'
