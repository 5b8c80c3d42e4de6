"""Rows of workers and tokens as their shapes."""

from hodei.shapes.fields import Time
from hodei.shapes.fleet import Token, Worker
from hodei.store import worker_bootstrap_tokens, workers


def of_worker(row: workers.Worker) -> Worker:
    return Worker(
        worker_id=str(row.id),
        name=row.name,
        state=row.state,
        slots=row.slots,
        busy_slots=row.busy_slots,
        labels=row.labels,
        version=row.version,
        current_job_id=str(row.current_job_id) if row.current_job_id else None,
        heartbeat_age_s=row.heartbeat_age_s,
        registered_at=_time(row.created_at),
        revoked=row.revoked,
        job_user=row.job_user or None,
    )


def of_token(row: worker_bootstrap_tokens.Token, *, reveal: bool = False) -> Token:
    """`reveal`: with the token itself, for whoever has just made it."""
    return Token(
        token=str(row.token) if reveal else None,
        token_id=row.token_id,
        state=row.state,
        worker_id=str(row.worker_id) if row.worker_id.int else None,
        created_at=_time(row.created_at),
        expires_at=_time(row.expires_at),
        consumed_at=_time(row.consumed_at),
        consumed_by=str(row.consumed_by) if row.consumed_by else None,
    )


def _time(unix_us: int | None) -> Time | None:
    return Time(unix_us) if unix_us else None
