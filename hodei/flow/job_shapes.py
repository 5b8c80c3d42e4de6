"""Rows of jobs, attempts and events as their shapes."""

from hodei.flow.shown_spec import shown_spec
from hodei.shapes.fields import Json, Time
from hodei.shapes.job import Attempt, Event, Job
from hodei.store import job_story, jobs
from hodei.store.json_values import readable

LONGEST_MESSAGE = 2000
"""Characters of a message that are shown."""


def of_job(row: jobs.Job, waiting_for: str = "", *, with_spec: bool = True) -> Job:
    """A job as the caller at hand may see it, with words for what it waits for."""
    return Job(
        job_id=str(row.id),
        name=row.name,
        state=row.state,
        reason=row.reason or None,
        message=(row.message or "")[:LONGEST_MESSAGE] or None,
        spec=Json(shown_spec(row.spec)) if with_spec else None,
        attempts=row.attempts,
        priority=row.priority,
        correlation_id=row.correlation_id,
        actor=row.actor,
        project=row.project,
        worker_id=str(row.worker_id) if row.worker_id else None,
        worker_name=row.worker_name or None,
        exit_code=row.exit_code,
        signal=row.signal,
        peak_memory_bytes=row.peak_memory_bytes or None,
        cpu_s=row.cpu_us / 1_000_000 if row.cpu_us else None,
        log_bytes=row.log_bytes,
        log_dropped_bytes=row.log_dropped_bytes,
        logs_complete=bool(row.logs_complete),
        leftover_processes=row.leftover_processes or 0,
        leftover_unknown=row.leftover_unknown or 0,
        created_at=_time(row.created_at),
        updated_at=_time(row.updated_at),
        run_at=_time(row.run_at),
        started_at=_time(row.started_at),
        completed_at=_time(row.completed_at),
        cancel_requested=row.cancel_requested,
        cancel=row.cancel or None,
        waiting_for=waiting_for[:LONGEST_MESSAGE] or None,
        retry_of=str(row.retry_of) if row.retry_of else None,
    )


def of_attempt(row: job_story.Attempt) -> Attempt:
    return Attempt(
        attempt=row.attempt,
        lease=row.lease,
        worker_id=str(row.worker_id) if row.worker_id else None,
        worker_name=row.worker_name or None,
        outcome=row.outcome,
        reason=row.reason or None,
        exit_code=row.exit_code,
        signal=row.signal,
        started_at=_time(row.started_at),
        ended_at=_time(row.ended_at),
        log_bytes=row.log_bytes,
    )


def of_event(row: job_story.Event) -> Event:
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


def _time(unix_us: int | None) -> Time | None:
    return Time(unix_us) if unix_us else None
