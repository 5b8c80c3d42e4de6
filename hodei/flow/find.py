"""Jobs are found by a filter, newest first, a bounded search at a time."""

import uuid
from collections.abc import Sequence
from typing import NamedTuple

from hodei.access.limits import CallersDatabase
from hodei.access.principal import Principal
from hodei.domain.errors import Invalid, NotFound
from hodei.flow.job_filter import Wanted, filter_of
from hodei.store import job_search, jobs
from hodei.store.job_search import FoundJob, Search

MOST_SEARCHED = 100_000
"""Jobs that one call searches, some 0.1 s. It then says at which it stopped, and a further call
goes on from there."""

MOST_FOUND = 10_000
"""Jobs that one call finds, changes or is asked for by their ids."""


class Found(NamedTuple):
    """Jobs that were found."""

    jobs: list[FoundJob]
    go_on_after: uuid.UUID | None  # there may be more, older than this one
    searched: int  # 0, or how many jobs this call has searched before it stopped at its bound


async def search(
    database: CallersDatabase, who: Principal, wanted: Wanted, before: uuid.UUID | None, most: int
) -> Search:
    """Searches the jobs that a caller reaches once. Invalid: the filter is wrong (filter_of). NotFound: there is no job
    `before`."""
    checked = await filter_of(database, who, wanted)
    found = await database.run(
        lambda conn: job_search.search(conn, checked, before, MOST_SEARCHED, most)
    )
    if before and not (found.jobs or found.stopped_at):
        await _check_before(database, before, checked.project)
    return found


async def _check_before(database: CallersDatabase, before: uuid.UUID, project: str | None) -> None:
    if not await database.run(lambda conn: jobs.of_project(conn, [before], project)):
        raise NotFound(
            f"before: no job {before}; it may have been deleted, begin again with the newest"
        )


async def find(
    database: CallersDatabase,
    who: Principal,
    wanted: Wanted,
    ids: Sequence[uuid.UUID],
    before: uuid.UUID | None,
    most: int,
) -> Found:
    """Returns the jobs of these ids, or, for no ids, those that are wanted, newest first. Errors as
    of `search`; Invalid also: more than MOST_FOUND."""
    most = most or MOST_FOUND
    if most > MOST_FOUND:
        raise Invalid(f"limit: expected 1 to {MOST_FOUND}, got {most}")
    check_number(ids)
    if ids:
        found_jobs = await database.run(lambda conn: job_search.states(conn, ids, who.project))
        return Found(found_jobs, None, 0)
    found = await search(database, who, wanted, before, most)
    if found.stopped_at:
        return Found(found.jobs, found.stopped_at, found.searched)
    return Found(found.jobs, found.jobs[-1].id if len(found.jobs) == most else None, 0)


def check_number(ids: Sequence[object]) -> None:
    """Invalid: there are too many ids in one call."""
    if len(ids) > MOST_FOUND:
        raise Invalid(f"job_ids: expected at most {MOST_FOUND} in one call, got {len(ids)}")
