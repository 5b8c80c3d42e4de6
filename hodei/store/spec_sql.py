"""Writes the rules of hodei/domain/spec_keys.py, and how a duration is read, into schema.sql.

`tools/spec-sql` writes them, `tools/spec-sql --check` only compares.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

from hodei.domain import durations, secret
from hodei.domain.spec_keys import (
    EXECUTOR,
    KNOWN,
    LABEL_VALUE,
    LONGEST_ARGUMENT,
    MOST_BYTES,
    OF_IMAGES,
    RULES,
    RUN_AT_SHAPE,
    SECRETS,
    START_TIMEOUT_S,
    Codes,
    Flag,
    Map,
    Number,
    Rule,
    Text,
    Texts,
)

MADE = re.compile(r"    -- <made>\n.*?    -- </made>\n", re.DOTALL)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _durations() -> Iterator[str]:
    yield "duration constant text :="
    yield f"    {_quoted(durations.PATTERN)};"
    yield f"units constant numeric[] := ARRAY[{', '.join(durations.SECONDS)}];"
    yield f"examples constant text := {_quoted(durations.EXAMPLES)};"


def _array(name: str, words: tuple[str, ...]) -> Iterator[str]:
    yield f"{name} constant text[] := ARRAY["
    for start in range(0, len(words), 5):
        end = "," if start + 5 < len(words) else "];"
        yield "    " + ", ".join(map(_quoted, words[start : start + 5])) + end


def _constants() -> Iterator[str]:
    yield from _array("known", KNOWN)
    yield from _array("of_images", OF_IMAGES)
    yield f"executor constant text := {_quoted(EXECUTOR)};"
    yield f"with_secrets constant text := {_quoted(SECRETS)};"
    yield f"with_secrets_value constant text := {_quoted(LABEL_VALUE)};"
    yield f"most_secrets constant integer := {secret.MOST_OF_A_JOB};"
    yield f"image_start_timeout constant integer := {START_TIMEOUT_S};"
    yield f"most_bytes constant integer := {MOST_BYTES};"
    yield f"longest_argument constant integer := {LONGEST_ARGUMENT};"
    yield "run_at_shape constant text :="
    yield f"    {_quoted(RUN_AT_SHAPE)};"


def _check(rule: Rule) -> Iterator[str]:
    """Returns the lines that check one key. They ask first whether the key is there: the call of a
    function with settings of its own costs more than all other checks of a short spec."""
    yield f"IF spec ? {_quoted(rule.key)} THEN"
    yield from (f"    {line}" for line in _call(rule))
    yield "END IF;"


def _call(rule: Rule) -> Iterator[str]:
    key = _quoted(rule.key)
    match rule:
        case Number():
            bounds = f"{rule.at_least}, {rule.at_most}, {rule.places}"
            yield f"spec := hodei_spec_number(spec, {key}, {bounds});"
        case Codes():
            yield f"spec := hodei_spec_exit_codes(spec, {key});"
        case Text():
            yield f"PERFORM hodei_spec_text(spec, {key}, {rule.longest},"
            yield f"    {_quoted(rule.pattern)},"
            yield f"    {_quoted(rule.shape)}, {str(rule.controls).lower()});"
        case Map():
            yield f"PERFORM hodei_spec_map(spec, {key}, {rule.most},"
            yield f"    {_quoted(rule.pattern)}, {_quoted(rule.shape)},"
            yield f"    {rule.longest}, longest_argument, {str(rule.controls).lower()});"
        case Texts():
            yield f"PERFORM hodei_spec_texts(spec, {key}, {rule.most}, {rule.longest},"
            yield f"    {_quoted(rule.pattern)},"
            yield f"    {_quoted(rule.shape)});"
        case Flag():
            yield f"IF jsonb_typeof(spec -> {key}) <> 'boolean' THEN"
            yield "    PERFORM hodei_refuse("
            words = _quoted(f"{rule.key}: expected true or false, got ")
            yield f"        {words} || jsonb_typeof(spec -> {key}));"
            yield "END IF;"


def _marked(lines: Iterator[str]) -> str:
    return "".join(["    -- <made>\n", *(f"    {line}\n" for line in lines), "    -- </made>\n"])


def written(schema: str) -> str:
    """Returns the text of schema.sql with its four made parts as the rules have them: what a
    duration is, the name of a secret, the constants, and the checks."""
    checks = (line for rule in RULES for line in _check(rule))
    name = iter([f"secret_name constant text := {_quoted(secret.NAME)};"])
    parts = iter(map(_marked, (_durations(), name, _constants(), checks)))
    return MADE.sub(lambda _: next(parts), schema)


def main() -> None:
    path = Path(__file__).parents[2] / "schema.sql"
    before = path.read_text(encoding="utf-8")
    after = written(before)
    if "--check" not in sys.argv:
        path.write_text(after, encoding="utf-8")
    elif before != after:
        sys.exit("schema.sql is not what hodei/domain/spec_keys.py says: run tools/spec-sql")


if __name__ == "__main__":
    main()
