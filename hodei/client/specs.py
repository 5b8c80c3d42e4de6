"""Specs as Python gives them, and as the JSON that goes to a server.

A server checks them (docs/job-spec.md): a client that knew the rules would refuse the keys of newer
servers."""

import base64
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypedDict
from uuid import UUID

from hodei.domain.errors import Invalid
from hodei.domain.ids import uuid7
from hodei.domain.text import shown

LONGEST_SPEC = 1 << 20
"""Characters of a spec's JSON. No server takes a longer one; its normal form has at most 256 KiB."""

UNTELLABLE = (TypeError, ValueError, OverflowError, RecursionError)
"""Errors of what JSON cannot say, and of a time beyond the calendar."""

Duration = float | str | timedelta
"""Seconds, a text as a spec has it, or a timedelta."""


class Spec(TypedDict, total=False):
    """A job spec; docs/job-spec.md has the meaning of each key."""

    id: str | UUID
    name: str
    command: str | Sequence[str]
    script: str
    interpreter: str | Sequence[str]
    env: Mapping[str, str | Mapping[str, str]]  # or {"secret": NAME}
    workdir: str
    stdin: str | bytes
    stdin_base64: str
    timeout: Duration
    grace: Duration
    priority: int
    labels: Mapping[str, str]
    retries: int
    on_lost: str
    correlation_id: str
    actor: str
    run_at: str | datetime
    log_limit: int
    queue_timeout: Duration
    start_timeout: Duration
    silence_timeout: Duration
    final_exit_codes: Sequence[int]
    umask: str
    term: str
    image: str
    entrypoint: str
    pull: str
    memory: str
    cpus: str
    pids: int
    network: str
    registry_secret: str
    volumes: Sequence[str]
    user: str
    read_only: bool
    tmpfs: Sequence[str]
    shm_size: str
    platform: str


AnySpec = Spec | Mapping[str, Any]


def new_id() -> str:
    """An id for a job: whoever submits the same spec with the same id again means the same job."""
    return str(uuid7())


class Ready(NamedTuple):
    """A spec that can be sent: its id and its JSON."""

    job_id: str
    text: str


def one_spec(spec: AnySpec | None, keys: Mapping[str, Any]) -> AnySpec:
    """The spec that a call describes: the mapping, with the keys in place of its own."""
    if spec is not None and not isinstance(spec, Mapping):
        raise Invalid(f"spec: expected a mapping of keys, got {type(spec).__name__}")
    return {**(spec or {}), **keys}


def ready(spec: AnySpec, job_id: str | None = None) -> Ready:
    """A spec with an id: its own, or else this one, or one that is made here. Whoever repeats it means
    the same job. Invalid: it cannot be said in JSON, or is too long."""
    if not isinstance(spec, Mapping):
        raise Invalid(f"spec: expected a mapping of keys, got {type(spec).__name__}")
    plain: dict[str, Any] = {key: value for key, value in spec.items() if value is not None}
    if isinstance(plain.get("stdin"), bytes):
        plain["stdin_base64"] = base64.b64encode(plain.pop("stdin")).decode()
    plain.setdefault("id", job_id or new_id())
    try:
        text = json.dumps(plain, default=_plain, allow_nan=False)
    except UNTELLABLE as error:
        where = shown(_place(plain))[:200]
        raise Invalid(f"{where}: expected what JSON can say: {shown(str(error))[:200]}") from None
    if len(text) > LONGEST_SPEC:
        raise Invalid(f"spec: expected at most {LONGEST_SPEC} characters of JSON, got {len(text)}")
    return Ready(str(plain["id"]), text)


def _place(spec: Mapping[str, Any]) -> str:
    """The key of a spec, or the entry of one such as `env.NAME`, that JSON cannot say; `spec` where
    each of them can be said alone."""
    for key, value in spec.items():
        if not _can_be_said({key: value}):
            entries = value.items() if isinstance(value, Mapping) else ()
            inner = (f"{key}.{name}" for name, one in entries if not _can_be_said({name: one}))
            return next(inner, str(key))
    return "spec"


def _can_be_said(value: Mapping[Any, Any]) -> bool:
    try:
        json.dumps(value, default=_plain, allow_nan=False)
    except UNTELLABLE:
        return False
    return True


def _plain(value: Any) -> Any:
    """Returns what JSON has for a value of Python's."""
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError(f"a time with its offset from UTC, got {value}")
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, Sequence) and not isinstance(value, bytes | bytearray):
        return list(value)
    raise TypeError(f"got a value of type {type(value).__name__}")
