"""A result that comes when its lease no longer holds is kept for the record and changes no state
(rule 1)."""

import asyncio

import psycopg
from loguru import logger

from hodei.domain.errors import Unavailable
from hodei.domain.job_line import JobLine
from hodei.fleet.messages import ResultAck
from hodei.fleet.stream import WorkerStream
from hodei.flow import job_lines
from hodei.store import late_results, sqlstate
from hodei.store.database import Database
from hodei.store.late_results import Late, Recorded

TRIES = 20
"""How often a late result is written while others write to its job's story, 50 ms apart."""


async def record_late_result(database: Database, stream: WorkerStream, late: Late) -> None:
    """Writes JobLateResult into the job's story and acknowledges it; also when PostgreSQL refuses
    to store it, as it would for ever. Unavailable: the story did not come to rest."""
    try:
        await _record(database, late)
    except psycopg.Error as error:
        logger.bind(component="JobController", job_id=late.job_id).error(
            "its late result cannot be kept: {}", sqlstate.primary(error)
        )
    stream.send(ResultAck([late.result.lease]))


async def _record(database: Database, late: Late) -> None:
    for _ in range(TRIES):
        recorded = await database.run(lambda conn: late_results.record_late(conn, late))
        if recorded.now:
            _say(late, recorded)
        if recorded.stored:
            return
        await asyncio.sleep(0.05)
    raise Unavailable(f"late result of job {late.job_id}: its story did not come to rest")


def _say(late: Late, recorded: Recorded) -> None:
    result = late.result
    words = f"JobLateResult {result.outcome} (lease {result.lease})"
    about = (recorded.correlation_id, result.actor, late.job_id, result.worker_id)
    job_lines.say(logger.bind(component="JobController"), [JobLine(words, *about)])
