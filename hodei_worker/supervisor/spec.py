"""Checks whether this worker can use a spec.

Servers accept only valid specs, but somebody may have changed a row in the database by hand. An
error names the key and never shows its value, which may be a secret.
"""

import base64
import re
import signal
from collections.abc import Callable
from typing import Any

import orjson


class Unusable(Exception):
    """The message names the key, what was expected, and the kind of value that it has."""


def read(payload: bytes) -> dict[str, Any]:
    """Returns the spec. Keys that the worker does not use are not checked; a key with null counts
    as absent. Raises Unusable."""
    try:
        spec = orjson.loads(payload)
    except ValueError:
        raise Unusable("its spec: expected JSON, with numbers that a program can hold") from None
    if type(spec) is not dict:
        raise Unusable(f"its spec: expected an object, got {_kind(spec)}")
    if None in spec.values():
        spec = {key: value for key, value in spec.items() if value is not None}
    rules = RULES | OF_IMAGES if "image" in spec else RULES
    for key, value in spec.items():
        rule = rules.get(key)
        if rule and not rule[0](value):
            raise Unusable(f"{key}: expected {rule[1]}, got {_kind(value)}")
    if "script" not in spec and "command" not in spec:
        raise Unusable("command: expected one, got none")
    return spec


KINDS = {dict: "an object", list: "a list", str: "text", bool: "true or false"}


def _kind(value: Any) -> str:
    """Names the kind of a value without showing it."""
    if value is None:
        return "null"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return "a number"
    words = KINDS[type(value)]
    return words if value or isinstance(value, bool) else f"{words} with nothing in it"


def _text(value: Any) -> bool:
    return type(value) is str


def _some(value: Any) -> bool:
    return type(value) is str and value != ""


def _number(most: float) -> Callable[[Any], bool]:
    return lambda value: type(value) in (int, float) and 0 <= value <= most


def _words(value: Any) -> bool:
    """Whether it is an argument list with a program that is not empty."""
    return type(value) is list and all(map(_text, value)) and value[:1] not in ([], [""])


def _texts(value: Any) -> bool:
    return type(value) is list and all(map(_text, value))


def _environment(value: Any) -> bool:
    return type(value) is dict and all(
        name and "=" not in name and (type(text) is str or _secret(text))
        for name, text in value.items()
    )


def _secret(value: Any) -> bool:
    """Whether it names a secret."""
    return type(value) is dict and value.keys() == {"secret"} and _some(value["secret"])


def _base64(value: Any) -> bool:
    try:
        return type(value) is str and base64.b64decode(value) is not None
    except ValueError:
        return False


def _umask(value: Any) -> bool:
    return type(value) is str and re.fullmatch("0[0-7]{3}", value) is not None


STOP_SIGNALS = ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2")
LONGEST_S = 1_000_000_000
A_TIME = (_number(LONGEST_S), f"a number of seconds from 0 to {LONGEST_S}")
RULES: dict[str, tuple[Callable[[Any], object], str]] = {
    "command": (lambda value: _some(value) or _words(value), "text or a list of texts"),
    "script": (_some, "text"),
    "interpreter": (_words, "a list of texts"),
    "env": (_environment, "an object of texts or names of secrets, by names without ="),
    "workdir": (_some, "a path"),
    "stdin": (_text, "text"),
    "stdin_base64": (_base64, "text in base64"),
    "timeout": A_TIME,
    "start_timeout": A_TIME,
    "silence_timeout": A_TIME,
    "grace": A_TIME,
    "umask": (_umask, "four octal digits as text"),
    "term": (lambda value: value in STOP_SIGNALS, f"one of {', '.join(STOP_SIGNALS)}"),
    "log_limit": (_number(1 << 62), "a number of bytes, 0 or more"),
}


SIZE = (
    lambda value: _text(value) and re.fullmatch("[0-9]{1,15}[bkmgBKMG]?", value),
    "a number of bytes as text, as 512m",
)
OF_IMAGES: dict[str, tuple[Callable[[Any], object], str]] = {
    "image": (_some, "text"),
    "command": (lambda value: _some(value) or _texts(value), "text or a list of texts"),
    "entrypoint": (_some, "text"),
    "pull": (lambda value: value in ("always", "missing", "never"), "always, missing or never"),
    "memory": SIZE,
    "cpus": (
        lambda value: _text(value) and re.fullmatch("[0-9]{1,4}([.][0-9]{1,3})?", value),
        "a number of processors as text",
    ),
    "pids": (_number(1 << 32), "a number"),
    "network": (_some, "text"),
    "volumes": (_texts, "a list of texts"),
    "user": (_some, "text"),
    "read_only": (lambda value: type(value) is bool, "true or false"),
    "tmpfs": (_texts, "a list of texts"),
    "shm_size": SIZE,
    "platform": (_some, "text"),
    "registry_secret": (_some, "text"),
}
"""The rules of a job with an image, where they are others than RULES."""

GRACE_S = 10.0  # between the stop signal and KILL, for a job whose spec has no grace


def grace_s(spec: dict[str, Any]) -> float:
    """Returns the seconds between the stop signal and KILL."""
    return float(spec.get("grace", GRACE_S))


def stop_signal(spec: dict[str, Any]) -> signal.Signals:
    """Returns the signal that asks the job to end."""
    return signal.Signals[f"SIG{spec.get('term', 'TERM')}"]
