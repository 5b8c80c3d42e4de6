"""The audit as callers read it: events, newest first, a page at a time."""

import re
from collections.abc import Sequence
from typing import NamedTuple

from hodei.access.limits import CallersDatabase
from hodei.access.pages import PAGE_BYTES
from hodei.domain.errors import Invalid
from hodei.domain.event import KINDS
from hodei.fleet.about import aggregate_of
from hodei.fleet.which_worker import worker_id_of
from hodei.shapes.fields import Json, Time
from hodei.shapes.job import Event
from hodei.shapes.size import size_of
from hodei.store import audit_search
from hodei.store.audit_search import Filter, FoundEvent
from hodei.store.json_values import readable

LIMIT, MOST_LIMIT = 20, 1000
"""Events of a page: unless the caller says how many, and at most."""

MOST_SEARCHED = 100_000
"""Events that one call searches, some 0.3 s. A further call goes on."""

MOST_KINDS, LONGEST_TEXT = 100, 500

WORKER = re.compile("worker[: ](.*)", re.DOTALL)
"""A worker as an actor: as events have it, with its id, or as tables show it, with its name."""

END_OF_TIME_US = 253_402_300_800_000_000
"""The year 10000 in microseconds since 1970: times are before it."""


class EventPage(NamedTuple):
    """A page of events, newest first."""

    events: list[Event]
    go_on_before: int | None
    """The id of the last event that was searched; the page ended there and the list may go on."""
    searched: int
    """How many events were searched, where the page ended by that; else 0."""


async def page_of(
    database: CallersDatabase, wanted: Filter, before: int | None, limit: int
) -> EventPage:
    """The newest events that are wanted, or those with an id below `before`; of `limit` 0 LIMIT of
    them. Invalid: the filter is wrong, or the limit is beyond MOST_LIMIT. NotFound: nothing has the
    part of an id or the name that they are about, or no worker that of their actor."""
    _check(wanted)
    limit = limit or LIMIT
    if limit > MOST_LIMIT:
        raise Invalid(f"limit: expected 1 to {MOST_LIMIT}, got {limit}")
    if wanted.about is not None:
        wanted = wanted._replace(about=await aggregate_of(database, wanted.about))
    if worker := WORKER.fullmatch(wanted.actor or ""):
        worker_id = await worker_id_of(database, worker[1])
        wanted = wanted._replace(actor=f"worker:{worker_id}")
    found = await database.run(
        lambda conn: audit_search.search(conn, wanted, before, MOST_SEARCHED, limit)
    )
    page: list[Event] = []
    size, last = 0, 0
    for row in found.events:
        event = _shape(row)
        size += size_of(event)
        if size > PAGE_BYTES and page:
            return EventPage(page, last, 0)
        page.append(event)
        last = row.id
    full = len(page) == limit and found.stopped_at is None
    return EventPage(page, last if full else found.stopped_at, found.searched)


def _shape(row: FoundEvent) -> Event:
    return Event(
        occurred_at=Time(row.occurred_at),
        event_type=row.event_type,
        aggregate_id=row.aggregate_id,
        actor=row.actor,
        correlation_id=row.correlation_id,
        payload=Json(readable(row.payload)),
        worker_id=str(row.worker_id) if row.worker_id else None,
        worker_name=row.worker_name or None,
    )


def _check(wanted: Filter) -> None:
    if len(wanted.kinds) > MOST_KINDS:
        raise Invalid(f"kinds: expected at most {MOST_KINDS}, got {len(wanted.kinds)}")
    if unknown := [kind for kind in wanted.kinds if kind not in KINDS]:
        raise Invalid(f"kind: expected one of {', '.join(KINDS)}, got {unknown[0][:80]!r}")
    _check_texts([wanted.actor or ""], "actor")
    _check_texts([wanted.about or ""], "about")
    for what, unix_us in (("since", wanted.since), ("until", wanted.until)):
        if unix_us is not None and not 0 <= unix_us < END_OF_TIME_US:
            raise Invalid(f"{what}: expected a time of the years 1970 to 9999, got {unix_us} µs")


def _check_texts(texts: Sequence[str], what: str) -> None:
    for text in texts:
        if len(text) > LONGEST_TEXT:
            raise Invalid(f"{what}: expected at most {LONGEST_TEXT} characters, got {len(text)}")
        if "\0" in text:
            raise Invalid(f"{what}: expected text without NUL, got {text[:80]!r}")
