"""What callers say of the jobs that they want, checked, as a filter of the store."""

import re
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from hodei.access import projects
from hodei.access.limits import CallersDatabase
from hodei.access.principal import Principal
from hodei.domain.errors import Invalid
from hodei.domain.job import JobState, Reason
from hodei.store import job_search
from hodei.store.job_search import Filter

Word = TypeVar("Word", JobState, Reason)

MOST_VALUES = 100
"""States of one filter; and as many reasons, workers and labels."""

LONGEST_TEXT = 1000
"""Characters of each text of a filter; no name or label of a job is longer."""

END_OF_TIME_US = 253_402_300_800_000_000
"""The year 10000, in microseconds since 1970."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which jobs a caller wants. Empty texts and None: whichever."""

    states: Sequence[str] = ()
    reasons: Sequence[str] = ()
    workers: Sequence[str] = ()  # names, ids, or parts of ids as of jobs
    name: str = ""  # * stands for any text and ? for one character
    labels: Mapping[str, str] = field(default_factory=dict)  # that its worker must have
    label_names: Sequence[str] = ()  # labels of any value
    since: int | None = None  # created at or after it, in microseconds since 1970
    until: int | None = None  # created before it
    actor: str = ""  # also with an addition of the spec
    correlation_id: str = ""
    project: str = ""


async def filter_of(database: CallersDatabase, who: Principal, wanted: Wanted) -> Filter:
    """Returns the store's filter for what a caller wants of the jobs that it reaches. Invalid: there
    is no such state, reason or worker, or a value is out of bounds."""
    _check_texts(wanted)
    _check_time(wanted.since, "since")
    _check_time(wanted.until, "until")
    return Filter(
        states=[word(JobState, text, "state") for text in wanted.states],
        reasons=[word(Reason, text, "reason") for text in wanted.reasons],
        workers=await _workers(database, wanted.workers) if wanted.workers else None,
        name_like=like(wanted.name) if wanted.name else None,
        labels=dict(wanted.labels),
        label_names=wanted.label_names,
        since=wanted.since,
        until=wanted.until,
        actor=wanted.actor or None,
        correlation_id=wanted.correlation_id or None,
        project=projects.to_search(who, wanted.project),
    )


def word(kind: type[Word], text: str, what: str) -> Word:
    """The member of the enum `kind` that a text names, in upper or lower case. Invalid: it names
    none; `what` is the field."""
    try:
        return kind(text.upper())
    except ValueError:
        raise Invalid(f"{what}: expected one of {', '.join(kind)}, got {text[:80]!r}") from None


def like(glob: str) -> str:
    """A glob as a pattern of LIKE. Several stars in a row are one."""
    literal = re.sub(r"([\\%_])", r"\\\1", glob)
    return re.sub(r"\*+", "%", literal).replace("?", "_")


def _check_texts(wanted: Wanted) -> None:
    several: dict[str, Sequence[str]] = {
        "state": wanted.states,
        "reason": wanted.reasons,
        "worker": wanted.workers,
        "label": [*wanted.labels, *wanted.label_names],
    }
    for what, values in several.items():
        if len(values) > MOST_VALUES:
            raise Invalid(f"{what}: expected at most {MOST_VALUES} values, got {len(values)}")
        for text in values:
            _check_text(text, what)
    for text in wanted.labels.values():
        _check_text(text, "label")
    _check_text(wanted.name, "name")
    _check_text(wanted.actor, "actor")
    _check_text(wanted.correlation_id, "correlation_id")


def _check_text(text: str, what: str) -> None:
    if len(text) > LONGEST_TEXT:
        raise Invalid(f"{what}: expected at most {LONGEST_TEXT} characters, got {len(text)}")
    if "\x00" in text:
        raise Invalid(f"{what}: expected text without NUL, got {text[:80]!r}")


def _check_time(unix_us: int | None, what: str) -> None:
    if unix_us is not None and not 0 <= unix_us < END_OF_TIME_US:
        raise Invalid(f"{what}: expected a time of the years 1970 to 9999, got {unix_us} µs")


async def _workers(database: CallersDatabase, texts: Sequence[str]) -> list[uuid.UUID]:
    """The workers that are meant. A whole id need not be that of a worker that is still there."""
    whole = {text: _uuid_or_none(text) for text in texts}
    named = [text for text in texts if whole[text] is None]
    if not named:
        return [worker for worker in whole.values() if worker]
    found = await database.run(lambda conn: job_search.workers_named(conn, named))
    if missing := set(named) - {text for text, _ in found}:
        raise Invalid(
            f"worker: no worker has the name {min(missing)[:80]!r}, nor an id that begins or ends "
            "so (expected a name, a UUID, its first 6 or its last 8 characters)"
        )
    return [*(worker for worker in whole.values() if worker), *(worker for _, worker in found)]


def _uuid_or_none(text: str) -> uuid.UUID | None:
    try:
        return uuid.UUID(text)
    except ValueError:
        return None
