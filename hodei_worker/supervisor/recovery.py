"""Recovers the attempts of a supervisor that died, from its journal and its spool."""

from pathlib import Path
from typing import Any, NamedTuple

from hodei_worker.supervisor.executor import Executor, Start
from hodei_worker.supervisor.journal import Journal
from hodei_worker.supervisor.result import UNKNOWN_CHUNKS, Result
from hodei_worker.supervisor.spool import JobSpool, Spool


class Recovered(NamedTuple):
    start: Start
    spool: JobSpool
    result: Result | None  # None: it may still run


def recover(state: Path, journal: Journal, executor: Executor) -> tuple[Spool, list[Recovered]]:
    """Gives a result to each attempt, except to those with which the executor can go on. The spooled
    part of a log is sent before the result. Output that was still in the pipes is lost; the number
    of chunks in the result shows it."""
    spool, job_spools = Spool.recover(state / "spool", journal.entries)
    found = []
    for lease, entry in list(journal.entries.items()):
        start, job_spool = Start.from_entry(entry), job_spools[lease]
        result = _result(entry, start, executor)
        if result and "result" not in entry:
            journal.add_result(lease, result.as_json())
        if result:
            result.spooled = min(job_spool.next_seq, result.log_chunks)
        found.append(Recovered(start, job_spool, result))
    journal.flush()
    return spool, found


def _result(entry: dict[str, Any], start: Start, executor: Executor) -> Result | None:
    if known := entry.get("result"):
        return Result.from_json(known)
    if (cause := executor.adopt(entry)) is None:
        return None
    return Result.of(cause, log_chunks=UNKNOWN_CHUNKS, started_us=start.started_us)
