"""A job that names a secret which does not exist is refused when it is submitted."""

from collections.abc import Mapping

from hodei.domain import spec_secrets
from hodei.domain.errors import Invalid
from hodei.store import secrets
from hodei.store.creation import NewJob
from hodei.store.database import Database
from hodei.store.secrets import Wanted


async def refused(database: Database, new: Mapping[int, NewJob]) -> dict[int, Invalid]:
    """Returns, by place in the call, what is wrong with the jobs that name unknown secrets.
    Unavailable: the database is away; it is asked only where a job names one."""
    wanted = [
        Wanted(job.id, job.project, name)
        for job in new.values()
        if spec_secrets.needs_any(job.spec)
        for name in spec_secrets.names(job.spec)
    ]
    if not wanted:
        return {}
    missing = await database.run(lambda conn: secrets.missing(conn, wanted))
    return {
        place: Invalid(
            f"secret {missing[job.id]}: project {job.project} has none of this name;"
            " `hodei secret set` makes it"
        )
        for place, job in new.items()
        if job.id in missing
    }
