"""Leases whose rows a hand has deleted while their jobs still name them. They are written anew as
soon as their workers speak under them: a refusal would kill what runs."""

import uuid
from collections.abc import Sequence

from loguru import logger

from hodei.store import invariants, sqlstate
from hodei.store.database import TROUBLE, Connection, Database

ACTOR = "system:job_rescuer"


async def mend(conn: Connection, jobs: Sequence[uuid.UUID]) -> bool:
    """Mends those of the jobs that nothing would move on, with a log line for each; returns whether
    there was one."""
    mended = await invariants.mend(conn, jobs)
    for one in mended:
        words = (
            "it waited and was in no queue: it is queued again"
            if one.queued
            else "its lease was gone, or was none of a running job: it is written anew"
        )
        about = {"correlation_id": one.correlation_id, "actor": ACTOR, "job_id": one.job_id}
        logger.bind(component="JobRescuer", **about).warning("{}", words)
    return bool(mended)


async def regain(database: Database, jobs: Sequence[uuid.UUID]) -> bool:
    """Writes the leases of these jobs anew whose rows are gone. Returns whether there was one: then
    what was said under it is to be said again. False also where the database lets none be written."""
    if not jobs:
        return False
    try:
        return await database.run(lambda conn: mend(conn, jobs))
    except TROUBLE as error:
        logger.bind(component="JobRescuer").warning(
            "leases cannot be written anew, as of job {}: {}", jobs[0], sqlstate.primary(error)
        )
        return False
