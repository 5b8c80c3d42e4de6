"""What events are about, by an id, a part of one, or a name."""

import re
import uuid
from typing import NamedTuple

from hodei.domain.errors import Invalid, NotFound
from hodei.domain.worker import WorkerState
from hodei.fleet.which_worker import LEAST_FIRST, LEAST_LAST, WHOLE, part_of
from hodei.store import audit_search, fleet_view, job_ids, provider_view
from hodei.store.database import Connection, Runs

DIGITS = 32
"""Hex digits of an id."""

MOST_LISTED = 10
"""Workers or jobs that may be meant are listed up to this number."""


class _Meant(NamedTuple):
    """Something that events may be about."""

    id: str
    words: str  # what it is


async def aggregate_of(database: Runs, text: str) -> str:
    """Returns the aggregate_id that is meant. A whole one is taken as it is: that of a job, worker or
    provider although there may be no event, any other one if there is. Otherwise a part of such an
    id is meant, or the name of a worker or provider. NotFound: nothing fits. Invalid: several do,
    and the message lists them."""
    if WHOLE.fullmatch(text):
        return str(uuid.UUID(text))
    if await database.run(lambda conn: audit_search.is_about(conn, text)):
        return text
    found = await database.run(lambda conn: _fitting(conn, text))
    if not found:
        raise NotFound(
            f"about: no event is about {text[:80]!r}: expected the id of an API key or a token, the"
            " name of a project, PROJECT/NAME of a secret, the name of a worker or provider, or of"
            f" its id or a job's the first {LEAST_FIRST} or more characters, or the last"
            f" {LEAST_LAST} or more"
        )
    if len(found) > 1:
        listed = ", ".join(f"{one.id} ({one.words})" for one in found[:MOST_LISTED])
        more = " and more" if len(found) > MOST_LISTED else ""
        raise Invalid(f"about {text[:80]!r}: several fit, give the id of one: {listed}{more}")
    return found[0].id


async def _fitting(conn: Connection, text: str) -> list[_Meant]:
    part = part_of(text)
    first, last = len(part) >= LEAST_FIRST, len(part) >= LEAST_LAST
    workers = await fleet_view.named(conn, text, part, first=first, last=last)
    workers = [one for one in workers if one.state != WorkerState.TERMINATED] or workers
    providers = await provider_view.meant(conn, text, part, first=first, last=last)
    jobs: list[job_ids.Candidate] = []
    if re.fullmatch(f"[0-9a-f]{{{LEAST_FIRST},{DIGITS}}}", part):
        least, greatest = uuid.UUID(part.ljust(DIGITS, "0")), uuid.UUID(part.ljust(DIGITS, "f"))
        sought = job_ids.Part(least, greatest, part if last else None)
        (jobs,) = await job_ids.meant(conn, [sought])
    return [
        *(_Meant(str(one.worker_id), f"worker {one.name}, {one.state}") for one in workers),
        *(_Meant(str(one.id), f"provider {one.name}") for one in providers),
        *(_Meant(str(one.id), f"job {one.name}, {one.state}") for one in jobs),
    ]
