"""A job whose row PostgreSQL does not let go on is set aside, so that all others go on."""

import uuid
from collections.abc import Sequence

import psycopg
from loguru import logger

from hodei.store import faults, leases, rejections, sqlstate
from hodei.store.database import TROUBLE, Database
from hodei.store.leases import Claimant


async def set_aside(
    database: Database, jobs: Sequence[uuid.UUID], error: Exception, actor: str
) -> None:
    """Ends the jobs as FAILED, REJECTED, with the error as their message. If even that is refused
    (by a trigger that somebody added, say) it is logged, and they stay as they are. Unavailable:
    the database would refuse any job, so that none is at fault."""
    if faults.fails_for_all(error):
        raise faults.refusal(error)
    who = "PostgreSQL refuses to let" if isinstance(error, psycopg.Error) else "nothing lets"
    words = f"{who} this job go on: {sqlstate.primary(error)}"
    log = logger.bind(component="JobController", actor=actor)
    try:
        ended = await database.run(lambda conn: rejections.set_aside(conn, jobs, words, actor))
    except TROUBLE as trouble:
        words = sqlstate.primary(trouble)
        log.error("jobs {} cannot be set aside: {}", [str(j) for j in jobs], words)  # noqa: TRY400  one line, no rows
        return
    for one in ended:
        log.bind(correlation_id=one.correlation_id, job_id=one.job_id).error(
            "JobStatusChanged {} → FAILED (REJECTED): {}", one.old_state, words
        )


async def set_aside_lease(
    database: Database, claimant: Claimant, error: Exception, actor: str
) -> None:
    """Does as set_aside, for the job of a lease. It costs that job, and not its worker's stream."""
    jobs = await database.run(lambda conn: leases.jobs_of(conn, [claimant]))
    await set_aside(database, jobs, error, actor)
