"""A file of specs: JSON, an object of JSON on each line, or YAML, and where each spec and key stands
in it."""

import functools
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click

from hodei.cli.exact_float import exact_float
from hodei.cli.json_places import Lines, key_twice, of_json
from hodei.domain.text import shown

MOST_FILE = 256 << 20
"""Bytes of a file of specs."""

MOST_PLACED = 16 << 20
"""Characters of a JSON text in which the line of a mistake is looked for."""

NO_SPEC = "expected a spec for each job, got none"
TOO_DEEP = "expected a spec, got one that is nested too deeply"


@dataclass
class SpecFile:
    """The specs as they are written. `name`: for people."""

    name: str
    specs: list[Any]
    lines: list[Lines] = field(default_factory=list)
    text: str = ""  # in which the lines are still to be found

    @functools.cached_property
    def _starts(self) -> Counter[int]:
        if self.text and len(self.text) < MOST_PLACED:
            self.lines = of_json(self.text)
        return Counter(lines[""] for lines in self.lines)

    def where(self, number: int, key: str = "") -> str:
        """The line of a spec, or of a key of it, in words; its number as well where several begin
        in that line."""
        starts = self._starts
        if number >= len(self.lines):
            return f"{self.name} spec {number + 1}"
        lines = self.lines[number]
        whole = "" if starts[lines[""]] == 1 else f" spec {number + 1}"
        line = lines.get(key) or lines.get(key.partition(".")[0]) or lines[""]
        return f"{self.name} line {line}{whole}"

    def fault(self, number: int, words: str) -> str:
        """Words about a spec, which begin with a key of it where they are about a key, with their
        place."""
        key, _, rest = words.partition(": ")
        spec = self.specs[number]
        if isinstance(spec, dict) and (key in spec or key.partition(".")[0] in spec):
            return f"{self.where(number, key)}, key {key}: {rest}"
        return f"{self.where(number)}: {words}"


def read_specs(data: bytes, path: str = "-") -> SpecFile:
    """The specs of a file: JSON, with one object or a list of them, an object on each line, or YAML,
    as the end of its name says, or else its content. UsageError names the place of a fault."""
    name = "standard input" if path == "-" else path
    suffix = Path(path).suffix.lower()
    text = _text(data, name)
    if not text.strip():
        raise click.UsageError(f"--file {name}: {NO_SPEC}")
    if suffix in (".yaml", ".yml"):
        found = _yaml(name, text)
    else:
        found = _json(name, text, may_be_yaml=suffix not in (".json", ".jsonl", ".ndjson"))
    if not found.specs:
        raise click.UsageError(f"--file {name}: {NO_SPEC}")
    return found


def _text(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"--file {name}: expected UTF-8 text, got byte {data[error.start]:#x} at {error.start}"
        ) from None


def _json(name: str, text: str, *, may_be_yaml: bool) -> SpecFile:
    """One JSON text, or one on each line. What begins as neither may be YAML."""
    try:
        value = _loads(text)
    except RecursionError:
        raise click.UsageError(f"--file {name}: {TOO_DEEP}") from None
    except ValueError as error:
        lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
        if len(lines) > 1 and _parses(lines[0][1]):
            return SpecFile(
                name,
                [_line(name, number, line) for number, line in lines],
                [{"": number} for number, _ in lines],
            )
        if may_be_yaml and text.strip()[:1] not in ("{", "["):
            return _yaml(name, text)
        if isinstance(error, _Twice):
            raise _twice(name, text) from None
        raise _no_json(name, getattr(error, "lineno", 0), error) from None
    specs = value if isinstance(value, list) else [value]
    return SpecFile(name, specs, text=text)


def _loads(text: str) -> Any:
    """ValueError: it is no JSON, or a number has more digits than can be passed on, or an object has
    a key twice, of which json would drop the first value without a word."""
    return json.loads(text, object_pairs_hook=_once, parse_float=exact_float)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _Twice
    return found


class _Twice(ValueError):
    """An object has a key twice."""


def _parses(text: str) -> bool:
    """Whether a first line is a spec of its own; one that is nested too deeply is as well."""
    try:
        return isinstance(json.loads(text), dict)
    except RecursionError:
        return True
    except ValueError:
        return False


def _line(name: str, number: int, text: str) -> Any:
    try:
        return _loads(text)
    except RecursionError:
        raise click.UsageError(f"--file {name} line {number}: {TOO_DEEP}") from None
    except _Twice:
        raise _twice(name, text, number) from None
    except ValueError as error:
        raise _no_json(name, number, error) from None


def _twice(name: str, text: str, first_line: int = 1) -> click.UsageError:
    """`first_line`: of the text in its file."""
    line, key = key_twice(text) if len(text) < MOST_PLACED else (0, "")
    place = f" line {line + first_line - 1}, key {shown(key)}" if line else ""
    return click.UsageError(f"--file {name}{place}: expected each key once, got one twice")


def _no_json(name: str, line: int, error: ValueError) -> click.UsageError:
    """`line`: 0 where it is not known."""
    place, words = f" line {line}" if line else "", "a number is too large or has too many digits"
    if isinstance(error, json.JSONDecodeError):
        place, words = f"{place} column {error.colno}", error.msg
    return click.UsageError(
        f"--file {name}{place}: expected JSON, got text that does not parse: {words}"
    )


def _yaml(name: str, text: str) -> SpecFile:
    from hodei.cli import spec_yaml

    if len(text) > spec_yaml.MOST_BYTES:
        raise click.UsageError(
            f"--file {name}: expected at most {spec_yaml.MOST_BYTES} characters of YAML;"
            " of JSON there may be more"
        )
    try:
        found = spec_yaml.read(text)
    except spec_yaml.BadYaml as error:
        line = f" line {error.line}" if error.line else ""
        raise click.UsageError(f"--file {name}{line}: {error}") from None
    return SpecFile(name, [spec for spec, _ in found], [lines for _, lines in found])
