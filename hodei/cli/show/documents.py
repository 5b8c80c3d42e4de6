"""Data for programs: one JSON or YAML document, or, of what comes bit by bit, one JSON object a
line (a YAML document each). The data is exact to the character, and steers no terminal."""

import codecs
import json
import re
import sys
from collections.abc import Callable
from typing import Any

import click
from click.core import ParameterSource

from hodei.shapes.rendering import as_dict

FORMATS = ("table", "json", "yaml")
FORMAT_KEY = "hodei.format"
"""Where click's context has the format that was given before the command."""


def format_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds -o and --format; the command gets `output`, one of FORMATS."""
    return click.option(
        "-o",
        "--format",
        "output",
        type=click.Choice(FORMATS),
        default="table",
        show_default=True,
        callback=_given_before,
        help="How to print: for people, or as one document.",
    )(command)


def _given_before(ctx: click.Context, param: click.Parameter, value: str) -> str:
    """The format of this command, or else the one that stands before it."""
    given = ctx.get_parameter_source(param.name or "") is not ParameterSource.DEFAULT
    return value if given else str(ctx.meta.get(FORMAT_KEY) or value)


def emit(output: str, shown: Any) -> bool:
    """Writes a shape, or a list of them, as one document, unless `output` is "table". Returns
    whether it has."""
    if output == "table":
        return False
    value = [as_dict(one) for one in shown] if isinstance(shown, list) else as_dict(shown)
    write_yaml(value) if output == "yaml" else write_json(value)
    return True


def emit_line(output: str, shown: Any) -> bool:
    """Writes a shape at once as one of a stream: one line of JSON, or a YAML document that begins
    with `---`. Returns False, and writes nothing, where `output` is "table"."""
    if output == "table":
        return False
    if output == "yaml":
        click.echo("---")
        write_yaml(as_dict(shown))
    else:
        write_json(as_dict(shown), indent=None)
    sys.stdout.flush()
    return True


_STEERING = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""What JSON and YAML may hold as it is and a terminal, or UTF-8, may not."""

_PRETTY = 2


def write_json(value: Any, *, indent: int | None = _PRETTY) -> None:
    """One JSON document: on one line into a pipe, indented on a terminal; in ASCII alone where the
    output is not UTF-8."""
    shown = json.dumps(
        value, ensure_ascii=not _is_utf8(), indent=indent if sys.stdout.isatty() else None
    )
    click.echo(_escaped(shown))


def write_yaml(value: Any) -> None:
    """One YAML document, of which each key, and each line of a text, is on its own line."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Quotes what is escaped afterwards: only a quoted text may hold escapes."""

    def text(dumper: yaml.SafeDumper, value: str) -> Any:
        style = '"' if _STEERING.search(value) else "|" if "\n" in value else None
        return dumper.represent_scalar("tag:yaml.org,2002:str", str(value), style=style)

    Dumper.add_representer(str, text)
    Dumper.add_multi_representer(str, text)  # words of enums
    shown = yaml.dump(
        value,
        Dumper=Dumper,
        sort_keys=False,
        allow_unicode=_is_utf8(),
        width=sys.maxsize,  # else a long text continues on the next line
    )
    click.echo(_escaped(shown), nl=False)


def _escaped(text: str) -> str:
    return _STEERING.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _is_utf8() -> bool:
    return codecs.lookup(sys.stdout.encoding or "ascii").name == "utf-8"
