"""What the client answers with. Times are in UTC; None: no value, not yet, or not known.

Made from hodei/shapes by `tools/json-docs`; tests/client compares them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job. Exit code, signal, memory, log and leftovers are those of its last attempt."""

    job_id: str
    """Its UUID."""

    name: str
    """Its name, for people."""

    state: str
    """PENDING, RUNNING, SUCCEEDED, FAILED or CANCELLED."""

    reason: str | None
    """Why it failed or was cancelled, one word (job-spec.md)."""

    message: str | None
    """The same in words, at most 2,000 characters."""

    spec: dict[str, Any] | None
    """What it runs (job-spec.md); None in lists."""

    attempts: int
    """How often it was tried."""

    priority: int
    """Jobs with a higher one run first."""

    correlation_id: str
    """Ties it to other jobs and to events."""

    actor: str
    """Who created it."""

    worker_id: str | None
    """The worker that has it, or had it last."""

    worker_name: str | None
    """That worker's name; None: its row is gone."""

    exit_code: int | None
    """Exit code of its process."""

    signal: int | None
    """Number of the signal that ended its process."""

    peak_memory_bytes: int | None
    """The most memory that one of its processes used; of a container all of it, sampled each
    second."""

    cpu_s: float | None
    """Processor time of its process and of those that it waited for; of a container all of it,
    sampled each second."""

    log_bytes: int
    """Bytes of stdout and stderr that are kept."""

    log_dropped_bytes: int
    """Bytes that were not kept: over the log limit, or no room on the disk."""

    logs_complete: bool
    """Whether all that it wrote is stored; false before its end."""

    leftover_processes: int
    """Processes that outlived its own process and were killed."""

    leftover_unknown: int
    """Processes that were left alive: they may have been its own or another job's."""

    created_at: datetime | None
    """When it was created."""

    updated_at: datetime | None
    """Time of its last event."""

    run_at: datetime | None
    """It does not run before; None: no such time."""

    started_at: datetime | None
    """When its last attempt was accepted by a worker."""

    completed_at: datetime | None
    """When it reached a final state."""

    cancel_requested: bool
    """Whether somebody asked to cancel it."""

    cancel: str | None
    """How far the cancel of a job has come that a worker has: requested, delivered (the worker
    knows), stopping (the job's stop signal was sent)."""

    waiting_for: str | None
    """Why a PENDING job does not run, in words."""

    retry_of: str | None
    """The job of which it is a retry."""

    project: str
    """The project that it belongs to; empty: the server is of an older release."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One accepted try of a job."""

    attempt: int
    """Its number, from 1."""

    lease: int
    """The number of its claim, also in the events."""

    worker_id: str | None
    """The worker that ran it."""

    worker_name: str | None
    """That worker's name; None: its row is gone."""

    outcome: str | None
    """SUCCEEDED, FAILED, CANCELLED or LOST; None: it runs."""

    reason: str | None
    """Why it failed or was cancelled."""

    exit_code: int | None
    """Exit code of its process."""

    signal: int | None
    """Number of the signal that ended its process."""

    started_at: datetime | None
    """When the worker accepted it."""

    ended_at: datetime | None
    """When it ended."""

    log_bytes: int
    """Bytes of its log that are stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of a job (events.md)."""

    occurred_at: datetime
    """When it was committed, later than the event before."""

    event_type: str
    """JobCreated, JobAssigned, JobStatusChanged, …"""

    aggregate_id: str
    """What it is about: the job's id."""

    actor: str
    """Who did it."""

    correlation_id: str
    """The correlation id of the job."""

    payload: dict[str, Any]
    """The keys of this type of event (events.md)."""

    worker_id: str | None
    """The worker that it concerns."""

    worker_name: str | None
    """That worker's name; None: its row is gone."""
