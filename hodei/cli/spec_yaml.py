"""Reads specs that are written in YAML.

Only JSON's kinds of values are known (YAML 1.2's core: `0022`, `yes` and a date are text), with
anchors, aliases and merge keys. What aliases repeat is bounded, so that a short file cannot become
a large one.
"""

import re
from typing import Any

import yaml

from hodei.cli.exact_float import exact_float
from hodei.cli.json_places import Lines
from hodei.domain import spec_keys

MOST_BYTES = 16 << 20
"""Bytes of a file: a parsed one takes up to a hundred times its size in memory."""

MOST_REPEATED = spec_keys.MOST_BYTES
MOST_REPEATED_IN_ALL = 1 << 28
"""Characters and values that aliases may repeat in one spec, which can have no more in all, and in a
file."""

CORE = "tag:yaml.org,2002:"
NUMBER = "-?(?:0|[1-9][0-9]*)"
KINDS = (
    ("null", "~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", "true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", NUMBER, list("-0123456789")),
    ("float", rf"{NUMBER}(?:[.][0-9]+)?(?:[eE][-+]?[0-9]+)?", list("-0123456789")),
    ("merge", "<<", ["<"]),
)
"""What a plain word means; of two that fit the first one counts. Everything else is text."""


class BadYaml(Exception):
    """What is wrong, and its line from 1, or 0 where it is not known."""

    def __init__(self, words: str, line: int) -> None:
        super().__init__(words)
        self.line = line


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  PyYAML's own name


for _kind, _pattern, _first in KINDS:
    _Loader.add_implicit_resolver(CORE + _kind, re.compile(f"^(?:{_pattern})$"), _first)


def read(text: str) -> list[tuple[Any, Lines]]:
    """The specs of all documents, with their lines; a document is one spec or a list of them, an
    empty one is passed over. BadYaml: it is none, or repeats too much."""
    found: list[tuple[Any, Lines]] = []
    spent = 0
    try:
        for document in yaml.compose_all(text, _Loader):
            reader = _Reader(spent)
            found += reader.specs(document)
            spent = reader.spent_in_all
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        problem = error.problem or error.context
        raise BadYaml(
            f"expected YAML, got text that does not parse: {problem}", _line(mark)
        ) from None
    except yaml.YAMLError as error:
        reason = getattr(error, "reason", "")
        raise BadYaml(f"expected YAML, got text that does not parse: {reason}", 0) from None
    except RecursionError:
        raise BadYaml("expected a spec, got one that is nested too deeply", 0) from None
    return found


def _line(mark: Any) -> int:
    return mark.line + 1 if mark else 0


class _Reader:
    """Makes values of the nodes of one document. An alias is a node that is met again."""

    def __init__(self, spent: int) -> None:
        self.spent_in_all = spent
        self._spent = 0
        self._met: set[int] = set()
        self._open: set[int] = set()  # the nodes that we are in

    def specs(self, document: yaml.Node) -> list[tuple[Any, Lines]]:
        if isinstance(document, yaml.SequenceNode):
            self._met.add(id(document))
            return [self._spec(node) for node in document.value]
        if isinstance(document, yaml.ScalarNode) and document.tag == f"{CORE}null":
            return []
        return [self._spec(document)]

    def _spec(self, node: yaml.Node) -> tuple[Any, Lines]:
        self._spent = 0
        lines: Lines = {}
        value = self._value(node, False, lines)
        return value, {**lines, "": _line(node.start_mark)}

    def _value(self, node: yaml.Node, aliased: bool, lines: Lines, key: str = "") -> Any:
        """`aliased`: the node is part of what an alias repeats. `lines`: gets the lines of keys of
        a spec (key "") and of a key of a spec."""
        aliased = aliased or id(node) in self._met
        self._met.add(id(node))
        if aliased:
            self._spend(node)
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if id(node) in self._open:
            raise BadYaml(
                "expected a spec, got an alias of what it stands in", _line(node.start_mark)
            )
        if node.tag not in (f"{CORE}seq", f"{CORE}map"):
            raise _unknown(node, "a list or an object")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                return [self._value(child, aliased, {}) for child in node.value]
            return self._mapping(node, aliased, lines, key)
        finally:
            self._open.discard(id(node))

    def _spend(self, node: yaml.Node) -> None:
        cost = 1 + (len(node.value) if isinstance(node, yaml.ScalarNode) else 0)
        self._spent += cost
        self.spent_in_all += cost
        if self._spent > MOST_REPEATED or self.spent_in_all > MOST_REPEATED_IN_ALL:
            raise BadYaml(
                f"expected aliases that repeat at most {MOST_REPEATED} characters in a spec,"
                f" and {MOST_REPEATED_IN_ALL} in a file",
                _line(node.start_mark),
            )

    def _mapping(self, node: Any, aliased: bool, lines: Lines, key: str) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for name_node, value_node in node.value:
            line = _line(name_node.start_mark)
            if name_node.tag == f"{CORE}merge":
                found = self._merged(value_node, aliased)
                merged |= {name: found[name] for name in found if name not in merged}
                lines |= {f"{key}{name}": line for name in found if f"{key}{name}" not in lines}
                continue
            name = _name(name_node)
            if name in own:
                raise BadYaml(f"key {name}: expected it once, got it twice", line)
            lines[f"{key}{name}"] = line
            inner = lines if not key else {}
            own[name] = self._value(value_node, aliased, inner, f"{name}." if not key else name)
        return {**merged, **own}

    def _merged(self, node: yaml.Node, aliased: bool) -> dict[str, Any]:
        """The entries that a merge key takes over, of one mapping or of a list of them, in which
        the earlier one counts."""
        found = self._value(node, aliased, {})
        sources = found if isinstance(found, list) else [found]
        if not all(isinstance(source, dict) for source in sources):
            raise BadYaml("key <<: expected an object, or a list of them", _line(node.start_mark))
        merged: dict[str, Any] = {}
        for source in sources:
            merged = {**source, **merged}
        return merged


def _name(node: yaml.Node) -> str:
    if not isinstance(node, yaml.ScalarNode):
        raise BadYaml("expected text as a key, got a list or an object", _line(node.start_mark))
    return str(node.value)


def _scalar(node: yaml.ScalarNode) -> Any:
    kind, text = node.tag.removeprefix(CORE), str(node.value)
    try:
        match kind:
            case "str" | "merge":
                return text
            case "null":
                return None
            case "bool":
                return {"true": True, "false": False}[text.lower()]
            case "int":
                return int(text)
            case "float":
                return exact_float(text)
    except (ValueError, KeyError):
        pass
    raise _unknown(node, repr(text[:40]))


def _unknown(node: yaml.Node, got: str) -> BadYaml:
    return BadYaml(
        "expected text, a number, true, false, null, a list or an object,"
        f" got {got} with the tag {node.tag}",
        _line(node.start_mark),
    )
