"""Which worker somebody means who gives its id, a part of its id, or its name."""

import re
import uuid

from hodei.domain.errors import Invalid, NotFound
from hodei.domain.worker import WorkerState
from hodei.store import fleet_view
from hodei.store.database import Runs

LEAST_FIRST, LEAST_LAST = 6, 8
"""Characters of an id, from its beginning or up to its end, that stand for it. Ids of the same
minute begin alike, and end differently."""

LONGEST = 200
"""Characters of a name of a worker, and more than an id has."""

WHOLE = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]{32}", re.IGNORECASE)
"""A whole id."""

_PART = re.compile(r"[0-9a-f-]+", re.IGNORECASE)


def part_of(text: str) -> str:
    """The hexadecimal digits of a part of an id, of which the dashes do not count; empty: it is
    none."""
    return text.replace("-", "").lower() if _PART.fullmatch(text) else ""


async def worker_id_of(database: Runs, which: str) -> uuid.UUID:
    """Returns the id of the worker that is meant. A whole id is not looked up. If several workers
    fit, those that are not TERMINATED come first. NotFound: none fits. Invalid: several do, and the
    message lists them."""
    if WHOLE.fullmatch(which):
        return uuid.UUID(which)
    if not 0 < len(which) <= LONGEST or "\0" in which:
        raise Invalid(
            f"worker: expected a name or an id of at most {LONGEST} characters, got {which[:80]!r}"
        )
    part = part_of(which)
    found = await database.run(
        lambda conn: fleet_view.named(
            conn, which, part, first=len(part) >= LEAST_FIRST, last=len(part) >= LEAST_LAST
        )
    )
    fitting = [one for one in found if one.state != WorkerState.TERMINATED] or found
    if not fitting:
        raise NotFound(
            f"no worker {which[:80]!r}: expected a name, an id, its first {LEAST_FIRST} or more"
            f" characters, or its last {LEAST_LAST} or more; `hodei worker list --all` shows them"
        )
    if len(fitting) > 1:
        raise Invalid(_candidates(which, fitting))
    return fitting[0].worker_id


def _candidates(which: str, fitting: list[fleet_view.Named]) -> str:
    listed = ", ".join(
        f"{one.worker_id} ({one.name}, {one.state})" for one in fitting[: fleet_view.MOST_NAMED]
    )
    more = " and more" if len(fitting) > fleet_view.MOST_NAMED else ""
    return f"worker {which[:80]!r}: several workers fit, give the id of one: {listed}{more}"
