"""Checks what a job is to do, with the same answers and the same stored form as
hodei_normalise_spec of schema.sql.

The rules stand in spec_keys.py. Tables of cases (tests/domain/good_specs.py, bad_specs.py) and
random specs (tests/store/test_spec_fuzz.py) hold Python and PostgreSQL to one answer.
"""

import binascii
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from hodei.domain import durations, spec_image, spec_secrets
from hodei.domain.errors import Invalid
from hodei.domain.spec_json import read, type_name
from hodei.domain.spec_keys import (
    KNOWN,
    LONGEST_ARGUMENT,
    MOST_BYTES,
    RULES,
    RUN_AT_SHAPE,
    Codes,
    Flag,
    Map,
    Number,
    Rule,
    Text,
    Texts,
)

BLANK = " \t\r\n"
CONTROLS = re.compile("[\x01-\x1f\x7f-\x9f]")
FIRST_RUN_AT, LAST_RUN_AT = datetime(2000, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)

PATTERNS = {
    rule.key: re.compile(rule.pattern.replace("$", r"\Z"))
    for rule in RULES
    if isinstance(rule, Text | Map | Texts)
}

DURATION_KEYS = [rule.key for rule in RULES if isinstance(rule, Number) and rule.places]

BYTE_ORDER_MARK = "\ufeff"

SCRIPT = "<script>"
"""Stands for the script's path in the stored `command` of a script job."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A checked spec. `normal` is what is stored; id and actor have columns of their own."""

    id: uuid.UUID | None
    actor: str | None
    normal: dict[str, Any]


def normalise(given: str | Mapping[str, Any]) -> Spec:
    """Checks a spec, given as JSON or as the values that JSON would give, and returns its stored
    form. A stored form is returned as it is.

    Invalid names the key, what was expected and what was given.
    """
    text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    spec = read(text)
    if strangers := sorted(key for key in spec if key not in KNOWN):
        raise Invalid(f"{strangers[0][:80]}: unknown key; known are {', '.join(KNOWN)}")
    spec_secrets.forget_derived(spec)
    for rule in RULES:
        if rule.key in spec:
            _check(spec, rule)
    spec_image.check(spec)
    spec_secrets.check(spec)
    _what_to_run(spec)
    _stdin(spec)
    _run_at(spec)
    if len(text) > MOST_BYTES // 16:  # no shorter text has a stored form over the bound
        _size(spec)
    job_id, actor = spec.pop("id", None), spec.pop("actor", None)
    return Spec(uuid.UUID(job_id) if job_id else None, actor, spec)


def plain_times(given: dict[str, Any], checked: Spec) -> dict[str, Any]:
    """Returns a spec as it was given, with seconds where it has durations as text: servers of the
    release before take only numbers there."""
    as_text = [key for key in DURATION_KEYS if isinstance(given.get(key), str)]
    return given | {key: checked.normal[key] for key in as_text} if as_text else given


def _size(spec: dict[str, Any]) -> None:
    size = len(json.dumps(spec, ensure_ascii=False).encode())
    if size > MOST_BYTES:
        raise Invalid(f"spec: expected at most {MOST_BYTES} bytes of JSON, got {size}")


def _check(spec: dict[str, Any], rule: Rule) -> None:
    """Refuses a value that breaks its rule; puts its stored form into the spec."""
    match rule:
        case Text():
            _text(spec, rule)
        case Number():
            spec[rule.key] = _number(spec[rule.key], rule)
        case Map():
            _map(spec, rule)
        case Codes():
            spec[rule.key] = _codes(spec[rule.key], rule.key)
        case Texts():
            _texts(spec[rule.key], rule)
        case Flag():
            if not isinstance(spec[rule.key], bool):
                got = type_name(spec[rule.key])
                raise Invalid(f"{rule.key}: expected true or false, got {got}")


def _text(spec: dict[str, Any], rule: Text) -> None:
    key, value = rule.key, spec[rule.key]
    if not isinstance(value, str):
        raise Invalid(f"{key}: expected {rule.shape or 'a string'}, got {type_name(value)}")
    if not 1 <= len(value) <= rule.longest:
        raise Invalid(f"{key}: expected 1 to {rule.longest} characters, got {len(value)}")
    if not rule.controls and CONTROLS.search(value):
        raise Invalid(f"{key}: expected text without control characters")
    if not PATTERNS[key].search(value):
        raise Invalid(f'{key}: expected {rule.shape}, got "{value[:80]}"')


def _texts(value: Any, rule: Texts) -> None:
    key = rule.key
    if not isinstance(value, list):
        raise Invalid(f"{key}: expected a list of strings, got {type_name(value)}")
    if len(value) > rule.most:
        raise Invalid(f"{key}: expected at most {rule.most} entries, got {len(value)}")
    for one in value:
        if not isinstance(one, str):
            raise Invalid(f"{key}: expected a list of strings, got {type_name(one)} in it")
        fits = 1 <= len(one) <= rule.longest and not CONTROLS.search(one)
        if not fits or not PATTERNS[key].search(one):
            raise Invalid(f'{key}: expected {rule.shape}, got "{one[:80]}"')


def _number(value: Any, rule: Number) -> int | float:
    kind, examples = "a whole number", ""
    number, got = value, type_name(value)
    if rule.places:
        kind, examples = "seconds", f", as {durations.EXAMPLES}"
        if isinstance(value, str):
            number, got = durations.seconds(value), f'"{value[:80]}"'
    expected = f"{rule.key}: expected {kind} from {rule.at_least} to {rule.at_most}{examples}"
    if isinstance(number, bool) or not isinstance(number, int | Decimal):
        raise Invalid(f"{expected}, got {got}")
    number = Decimal(number)
    in_bounds = Decimal(rule.at_least) <= number <= Decimal(rule.at_most)
    if not in_bounds or (not rule.places and number != number.to_integral_value()):
        raise Invalid(f"{expected}, got {got if isinstance(value, str) else _plain(number)[:80]}")
    rounded = number.quantize(Decimal(1).scaleb(-rule.places), ROUND_HALF_UP)
    return int(rounded) if rounded == rounded.to_integral_value() else float(rounded)


def _plain(number: Decimal) -> str:
    """Returns digits without an exponent and without zeros at the end, as trim_scale does."""
    if not number:
        return "0"
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _map(spec: dict[str, Any], rule: Map) -> None:
    key, entries = rule.key, spec[rule.key]
    if not isinstance(entries, dict):
        raise Invalid(f"{key}: expected an object of strings, got {type_name(entries)}")
    if len(entries) > rule.most:
        raise Invalid(f"{key}: expected at most {rule.most} entries, got {len(entries)}")
    for name in sorted(entries, key=lambda name: (len(name.encode()), name.encode())):
        value = entries[name]
        if not PATTERNS[key].search(name):
            raise Invalid(f'{key}: expected {rule.shape}, got "{name[:80]}"')
        if isinstance(value, dict) and not rule.longest:
            spec_secrets.check_variable(f"{key}.{name}", value)
            continue
        if not isinstance(value, str):
            raise Invalid(f"{key}.{name}: expected a string, got {type_name(value)}")
        size = len(name.encode()) + 1 + len(value.encode())
        if not rule.longest and size > LONGEST_ARGUMENT:
            raise Invalid(
                f"{key}.{name}: expected NAME=VALUE of at most {LONGEST_ARGUMENT} bytes, got {size}"
            )
        if rule.longest and len(value) > rule.longest:
            raise Invalid(
                f"{key}.{name}: expected at most {rule.longest} characters, got {len(value)}"
            )
        if not rule.controls and CONTROLS.search(value):
            raise Invalid(f"{key}.{name}: expected text without control characters")


def _codes(value: Any, key: str) -> list[int]:
    expected = f"{key}: expected a list of exit codes from 1 to 255"
    if not isinstance(value, list):
        raise Invalid(f"{expected}, got {type_name(value)}")
    if len(value) > 255:
        raise Invalid(f"{key}: expected at most 255 entries, got {len(value)}")
    for code in value:
        if not _is_code(code):
            is_number = type_name(code) == "number"
            got = _plain(Decimal(code))[:80] if is_number else type_name(code)
            raise Invalid(f"{expected}, got {got} in it")
    return [int(code) for code in value]


def _is_code(code: Any) -> bool:
    if isinstance(code, bool) or not isinstance(code, int | Decimal):
        return False
    return 1 <= code <= 255 and code == Decimal(code).to_integral_value()


def _arguments(spec: dict[str, Any], key: str) -> None:
    """Checks a program with its arguments: a list of strings, the first of them not blank."""
    value = spec[key]
    if not isinstance(value, list):
        raise Invalid(f"{key}: expected a list of strings, got {type_name(value)}")
    if not all(isinstance(item, str) for item in value):
        raise Invalid(f"{key}: expected a list of strings")
    if not value or not value[0].strip(BLANK):
        raise Invalid(f"{key}: expected a program to run, got an empty one")
    if (longest := max(len(item.encode()) for item in value)) > LONGEST_ARGUMENT:
        raise Invalid(
            f"{key}: expected arguments of at most {LONGEST_ARGUMENT} bytes, got one of {longest}"
        )


def _what_to_run(spec: dict[str, Any]) -> None:
    if "script" in spec:
        _script(spec)
    elif "interpreter" in spec:
        raise Invalid("interpreter: expected a script with it")
    elif "image" in spec and spec.get("command", []) == []:
        spec["command"] = []  # the image's own
    elif "command" not in spec:
        raise Invalid("command: expected a command or a script, got neither")
    elif isinstance(spec["command"], str):
        if not spec["command"].strip(BLANK):
            raise Invalid("command: expected a program to run, got an empty one")
    else:
        _arguments(spec, "command")


def _script(spec: dict[str, Any]) -> None:
    """Checks a script. Its stored form has a `command`, too, that shows what will run; that command
    may be given again, as it was printed."""
    script = spec["script"]
    if not isinstance(script, str) or not script.strip(BLANK):
        got = "an empty one" if isinstance(script, str) else type_name(script)
        raise Invalid(f"script: expected the text of a script, got {got}")
    if isinstance(spec.get("interpreter"), str):
        spec["interpreter"] = [spec["interpreter"]]
    if "interpreter" not in spec:
        spec["interpreter"] = _interpreter(script)
    _arguments(spec, "interpreter")
    shown = [*spec["interpreter"], SCRIPT]
    if spec.setdefault("command", shown) != shown:
        raise Invalid("command: expected either command or script, got both")


def _interpreter(script: str) -> list[str]:
    """Returns the program that runs a script without an interpreter: the one that its #! line
    names, with the rest of that line as one argument, as Linux does; else the shell. A script that
    neither the kernel nor a shell would read as it is meant is refused."""
    first, _, _ = script.partition("\n")
    if script.startswith(BYTE_ORDER_MARK):
        raise Invalid(
            "script: expected text without a byte order mark (U+FEFF) at its beginning,"
            " or an interpreter that takes it"
        )
    if first.endswith("\r"):
        raise Invalid(
            "script: expected lines that end with LF, got CR LF; convert it,"
            " or name an interpreter that takes it"
        )
    if not first.startswith("#!"):
        return ["/bin/sh"]
    line = first[2:].strip(" \t")
    if not line:
        raise Invalid("script: expected a program behind #!, got none")
    word = line.replace("\t", " ").partition(" ")[0]
    rest = line[len(word) :].strip(" \t")
    return [word, rest] if rest else [word]


def _stdin(spec: dict[str, Any]) -> None:
    if "stdin" in spec and "stdin_base64" in spec:
        raise Invalid("stdin: expected either stdin or stdin_base64, got both")
    if "stdin" in spec and not isinstance(spec["stdin"], str):
        raise Invalid(f"stdin: expected a string, got {type_name(spec['stdin'])}")
    if "stdin_base64" in spec:
        value = spec["stdin_base64"]
        try:
            if not isinstance(value, str) or len(value) % 4 or value.endswith("==="):
                raise ValueError
            binascii.a2b_base64(value, strict_mode=True)
        except ValueError:
            raise Invalid("stdin_base64: expected base64 text") from None


def _run_at(spec: dict[str, Any]) -> None:
    """Refuses days that no month has, and far years: all else was refused by the pattern."""
    if "run_at" not in spec:
        return
    try:
        if FIRST_RUN_AT <= datetime.fromisoformat(spec["run_at"]) < LAST_RUN_AT:
            return
    except (ValueError, OverflowError):
        pass
    raise Invalid(f'run_at: expected {RUN_AT_SHAPE}, got "{spec["run_at"]}"')
