"""What a job is to do, checked: the same rules, messages and stored form as hodei_normalise_spec in schema.sql.

tests/domain/spec_cases.py is the table of cases that holds both to one answer. docs/job-spec.md tells users the vocabulary.
"""

import binascii
import json
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hodei.domain.errors import Invalid

KEYS = (
    "id", "name", "command", "script", "interpreter", "env", "workdir", "stdin", "stdin_base64", "timeout", "grace", "priority",
    "labels", "retries", "on_lost", "correlation_id", "actor", "run_at", "log_limit", "queue_timeout", "start_timeout",
    "silence_timeout", "final_exit_codes",
)  # fmt: skip

MOST_BYTES = 262_144
BLANK = " \t\r\n"

UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
RUN_AT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?(?:Z|[+-]\d\d:\d\d)", re.ASCII)
ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LABEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")


@dataclass(frozen=True, slots=True)
class Spec:
    """`normal` is what is stored; id and actor have columns of their own."""

    id: uuid.UUID | None
    actor: str | None
    normal: dict[str, Any]


def normalise(given: str | Mapping[str, Any]) -> Spec:
    """Invalid names the key, what was expected and what came."""
    spec = _object(given)
    for key in spec:
        if key not in KEYS:
            raise Invalid(f"{min(k for k in spec if k not in KEYS)[:80]}: unknown key; known are {', '.join(KEYS)}")
    job_id = _text(spec, "id", 36, UUID, "a UUID")
    _text(spec, "name", 200)
    actor = _text(spec, "actor", 200)
    _text(spec, "correlation_id", 200)
    _text(spec, "workdir", 4096, re.compile(r"/.*", re.DOTALL), "an absolute path")
    _text(spec, "on_lost", 5, re.compile("rerun|fail"), '"rerun" or "fail"')
    _number(spec, "timeout", 0, 31_536_000, whole=False, above=True)
    _number(spec, "queue_timeout", 0, 31_536_000, whole=False, above=True)
    _number(spec, "start_timeout", 0, 31_536_000, whole=False, above=True)
    _number(spec, "silence_timeout", 0, 31_536_000, whole=False, above=True)
    _number(spec, "grace", 0, 600, whole=False)
    _number(spec, "priority", -1000, 1000)
    _number(spec, "retries", 0, 1000)
    _number(spec, "log_limit", 0, 1_000_000_000_000)
    _codes(spec, "final_exit_codes")
    _map(spec, "env", 1000, ENV_NAME, "names of letters, digits and _", 131_072)
    _map(spec, "labels", 32, LABEL_NAME, "names of up to 63 letters, digits, . _ / -", 255)
    _what_to_run(spec)
    _stdin(spec)
    _run_at(spec)
    normal = {key: value for key, value in spec.items() if key not in ("id", "actor")}
    return Spec(uuid.UUID(job_id) if job_id else None, actor, normal)


def _object(given: str | Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(given, str):
        try:
            value = json.loads(given, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise Invalid(f"spec: expected JSON, got text that does not parse: {error}") from None
        text = given
    else:
        value, text = dict(given), json.dumps(given, ensure_ascii=False)
    if not isinstance(value, dict):
        raise Invalid(f"spec: expected a JSON object, got {_type(value)}")
    if len(text) > MOST_BYTES // 4 and (size := len(json.dumps(value, ensure_ascii=False).encode(errors="replace"))) > MOST_BYTES:
        raise Invalid(f"spec: expected at most {MOST_BYTES} bytes of JSON, got {size}")
    if "\\u0000" in text or "\0" in text or "\\ud" in text.lower():
        _refuse_untellable(value, "spec")
    return {key: item for key, item in value.items() if item is not None}


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _refuse_untellable(value: Any, where: str) -> None:
    """NUL and lone surrogates: PostgreSQL's text can hold neither."""
    if isinstance(value, str):
        if "\0" in value:
            raise Invalid(f"{where}: expected text without NUL")
        if any("\ud800" <= c <= "\udfff" for c in value):
            raise Invalid(f"{where}: expected valid Unicode text")
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_untellable(key, where)
            _refuse_untellable(item, key if where == "spec" else f"{where}.{key}")
    elif isinstance(value, list):
        for item in value:
            _refuse_untellable(item, where)


def _type(value: Any) -> str:
    """JSON's name of a value's type, as jsonb_typeof says it."""
    names = {dict: "object", list: "array", str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def _text(spec: dict[str, Any], key: str, longest: int, pattern: re.Pattern[str] | None = None, shape: str = "") -> str | None:
    value = spec.get(key)
    if value is None:
        return None
    if not isinstance(value, str):
        raise Invalid(f"{key}: expected a string, got {_type(value)}")
    if not 1 <= len(value) <= longest:
        raise Invalid(f"{key}: expected 1 to {longest} characters, got {len(value)}")
    if pattern is not None and not pattern.fullmatch(value):
        raise Invalid(f'{key}: expected {shape}, got "{value[:80]}"')
    return value


def _number(spec: dict[str, Any], key: str, at_least: int, at_most: int, *, whole: bool = True, above: bool = False) -> None:
    value = spec.get(key)
    if value is None:
        return
    kind = "a whole number from" if whole else "seconds above" if above else "seconds from"
    expected = f"{kind} {at_least} to {at_most}"
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Invalid(f"{key}: expected {expected}, got {_type(value)}")
    if value < at_least or value > at_most or (above and value == at_least) or (whole and value != int(value)):
        raise Invalid(f"{key}: expected {expected}, got {_plain(value)}")
    if isinstance(value, float) and value == int(value):
        spec[key] = int(value)


def _plain(value: float) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)


def _map(spec: dict[str, Any], key: str, most: int, name: re.Pattern[str], shape: str, longest: int) -> None:
    entries = spec.get(key)
    if entries is None:
        return
    if not isinstance(entries, dict):
        raise Invalid(f"{key}: expected an object of strings, got {_type(entries)}")
    for entry, value in sorted(entries.items(), key=lambda item: (len(item[0].encode()), item[0].encode())):
        if not name.fullmatch(entry):
            raise Invalid(f'{key}: expected {shape}, got "{entry[:80]}"')
        if not isinstance(value, str):
            raise Invalid(f"{key}.{entry}: expected a string, got {_type(value)}")
        if len(value) > longest:
            raise Invalid(f"{key}.{entry}: expected at most {longest} characters, got {len(value)}")
    if len(entries) > most:
        raise Invalid(f"{key}: expected at most {most} entries, got {len(entries)}")


def _list(spec: dict[str, Any], key: str) -> None:
    value = spec[key]
    if not isinstance(value, list):
        raise Invalid(f"{key}: expected a list of strings, got {_type(value)}")
    if not all(isinstance(item, str) for item in value):
        raise Invalid(f"{key}: expected a list of strings")
    if not value or not value[0].strip(BLANK):
        raise Invalid(f"{key}: expected a program to run, got an empty one")


def _codes(spec: dict[str, Any], key: str) -> None:
    value = spec.get(key)
    if value is None:
        return
    expected = f"{key}: expected a list of exit codes from 1 to 255"
    if not isinstance(value, list):
        raise Invalid(f"{expected}, got {_type(value)}")
    if not all(isinstance(code, int | float) and not isinstance(code, bool) and 1 <= code <= 255 and code == int(code) for code in value):
        raise Invalid(expected)
    if len(value) > 255:
        raise Invalid(f"{key}: expected at most 255 entries, got {len(value)}")
    spec[key] = [int(code) for code in value]


def _what_to_run(spec: dict[str, Any]) -> None:
    if "command" in spec and "script" in spec:
        raise Invalid("command: expected either command or script, got both")
    if "script" in spec:
        script = spec["script"]
        if not isinstance(script, str) or not script.strip(BLANK):
            raise Invalid(f"script: expected the text of a script, got {'an empty one' if isinstance(script, str) else _type(script)}")
        if isinstance(spec.get("interpreter"), str):
            spec["interpreter"] = [spec["interpreter"]]
        spec.setdefault("interpreter", ["/bin/sh"])
        _list(spec, "interpreter")
        spec["command"] = [*spec["interpreter"], "<script>"]
    elif "interpreter" in spec:
        raise Invalid("interpreter: expected a script with it")
    elif "command" not in spec:
        raise Invalid("command: expected a command or a script, got neither")
    elif isinstance(spec["command"], str):
        if not spec["command"].strip(BLANK):
            raise Invalid("command: expected a program to run, got an empty one")
    else:
        _list(spec, "command")


def _stdin(spec: dict[str, Any]) -> None:
    if "stdin" in spec and "stdin_base64" in spec:
        raise Invalid("stdin: expected either stdin or stdin_base64, got both")
    if "stdin" in spec and not isinstance(spec["stdin"], str):
        raise Invalid(f"stdin: expected a string, got {_type(spec['stdin'])}")
    if "stdin_base64" in spec:
        value = spec["stdin_base64"]
        try:
            if not isinstance(value, str) or len(value) % 4:
                raise ValueError
            binascii.a2b_base64(value, strict_mode=True)
        except ValueError:
            raise Invalid("stdin_base64: expected base64 text") from None


def _run_at(spec: dict[str, Any]) -> None:
    value = _text(spec, "run_at", 40, RUN_AT, "a time with its offset, as 2026-01-31T12:00:00Z")
    if value is None:
        return
    try:
        datetime.fromisoformat(value)
    except ValueError:
        raise Invalid(f'run_at: expected a time with its offset, as 2026-01-31T12:00:00Z, got "{value}"') from None
