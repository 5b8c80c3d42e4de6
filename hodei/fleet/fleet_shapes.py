"""Rows of workers, tokens, servers and the queue as their shapes."""

from collections.abc import Sequence
from typing import Any

from hodei.fleet.credentials import renew_credential_after_s
from hodei.shapes.fields import Time
from hodei.shapes.fleet import (
    Lacking,
    ListeningServer,
    Token,
    Unservable,
    Worker,
    WorkerDetails,
    WorkerJob,
)
from hodei.store import fleet_view, queue_view, servers, worker_bootstrap_tokens, workers


def of_worker(row: workers.Worker) -> Worker:
    return Worker(**_fields(row))


def of_details(
    row: workers.Worker, held: fleet_view.AllHeld, lacking: Sequence[queue_view.Lacking]
) -> WorkerDetails:
    return WorkerDetails(
        **_fields(row),
        jobs=[
            WorkerJob(
                job_id=str(one.job_id), name=one.name, state=one.state, since_at=_time(one.since)
            )
            for one in held.first
        ],
        jobs_in_all=held.in_all,
        other_jobs=held.others,
        lacking=[Lacking(labels=_labels(one.labels), jobs=one.jobs) for one in lacking],
        credential_since_at=_time(row.credential_since),
        credential_age_s=row.credential_age_s,
        credential_renews_at=None if row.revoked else _renews(row),
    )


def _renews(row: workers.Worker) -> Time:
    after_us = int(renew_credential_after_s(row.id) * 1e6)
    return Time(min(row.credential_since + after_us, LAST))


def _fields(row: workers.Worker) -> dict[str, Any]:
    return dict(
        worker_id=str(row.id),
        name=row.name,
        state=row.state,
        slots=row.slots,
        busy_slots=row.busy_slots,
        labels=_labels(row.labels),
        version=row.version,
        current_job_id=str(row.current_job_id) if row.current_job_id else None,
        current_job_name=row.current_job_name or None,
        heartbeat_age_s=row.heartbeat_age_s,
        registered_at=_time(row.created_at),
        revoked=row.revoked,
        job_user=row.job_user or None,
        connected_at=_time(row.connected_at),
        last_heartbeat_at=_time(row.last_heartbeat),
        server_id=str(row.server_id) if row.server_id else None,
        draining=row.draining,
        drained_at=_time(row.drained_at),
        drained_by=row.drained_by or None,
        projects=[name[:200] for name in row.projects or () if name],
        **_about(row.about),
    )


LAST = (1 << 63) - 1
"""The last time that a message can hold."""

TEXTS = ("host", "system", "python", "on_worker_exit", "on_disconnect")
COUNTS = {"cpus": (1 << 32) - 1, "memory_bytes": 1 << 62, "log_limit_bytes": 1 << 62}


def _about(about: dict[str, Any]) -> dict[str, Any]:
    """What a worker says of itself, as the fields of its shape. What a hand has set to anything
    else is left out."""
    found: dict[str, Any] = {
        key: about[key][:200] for key in TEXTS if isinstance(about.get(key), str) and about[key]
    }
    for key, most in COUNTS.items():
        value = about.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most:
            found[key] = value
    wait_s = about.get("drain_timeout_s")
    if isinstance(wait_s, int | float) and not isinstance(wait_s, bool):
        found["drain_timeout_s"] = float(wait_s)
    capabilities = about.get("capabilities")
    if isinstance(capabilities, list):
        found["capabilities"] = [one[:60] for one in capabilities[:32] if isinstance(one, str)]
    return found


def _labels(labels: Any) -> dict[str, str]:
    """Labels as text, whatever a hand has made of them."""
    if not isinstance(labels, dict):
        return {}
    return {key: value if isinstance(value, str) else str(value) for key, value in labels.items()}


def of_server(row: servers.Listed) -> ListeningServer:
    return ListeningServer(
        server_id=row.id,
        address=row.address or None,
        host=row.host or None,
        version=row.version or None,
        started_at=_time(row.started_at),
        lost_after_s=row.lost_after_s,
        workers=row.workers,
        certificate_expires_at=_time(row.certificate_expires_at),
        anonymous_role=row.anonymous_role if row.anonymous_role != "none" else None,
    )


def of_unservable(row: queue_view.UnservableSet) -> Unservable:
    return Unservable(
        labels=_labels(row.labels), jobs=row.jobs, oldest_s=row.oldest_s, draining=row.draining
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
