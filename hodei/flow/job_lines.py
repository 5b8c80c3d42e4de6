"""What has become of jobs, as log lines: a line for each event of the audit, in its order and with
its actor. It is written where the event was committed, and the lines of one batch are written
together."""

import uuid
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from hodei.domain.errors import Locked
from hodei.domain.job import Creation, JobState, Reason
from hodei.domain.job_line import JobLine
from hodei.store.accepts import Accepted
from hodei.store.claims import Offer
from hodei.store.creation import NewJob
from hodei.store.releases import Released
from hodei.store.results import Ended

if TYPE_CHECKING:
    from loguru import Logger


def say(log: "Logger", lines: Iterable[JobLine]) -> None:
    """Writes lines as one record (hodei/protocol/log/writer.py), at the cost of one line."""
    log.opt(depth=1).bind(lines=lines).info("")


def changed(old: str, new: str, reason: str | None) -> str:
    """The words for a change of state."""
    return (
        f"JobStatusChanged {old} → {new} ({reason})"
        if reason
        else f"JobStatusChanged {old} → {new}"
    )


RUNS = changed(JobState.PENDING, JobState.RUNNING, None)
CANCELLED = changed(JobState.PENDING, JobState.CANCELLED, Reason.CANCELLED)


def of_creates(
    new: Iterable[NewJob], outcomes: Mapping[uuid.UUID, Creation | Locked]
) -> Iterator[JobLine]:
    """A line for each job that was created, and none for those that existed."""
    words = "Job created successfully (JobCreated)"
    for job in new:
        if outcomes.get(job.id) == Creation.CREATED:
            correlation_id = job.spec.get("correlation_id", str(job.id))
            yield JobLine(words, correlation_id, job.actor, job.id)


def of_dispatch(offer: Offer, *, sent: bool) -> JobLine:
    became = "RUN_JOB command sent successfully: Job dispatched successfully"
    if not sent:
        became = "RUN_JOB was not sent, the worker's stream has ended"
    words = f"Dispatching job to worker (JobAssigned, lease {offer.lease}): {became}"
    who = "system:job_dispatcher"
    return JobLine(words, offer.correlation_id, who, offer.job_id, offer.worker_id)


def of_accept(accepted: Accepted) -> JobLine:
    who = f"worker:{accepted.worker_id}"
    return JobLine(RUNS, accepted.correlation_id, who, accepted.job_id, accepted.worker_id)


def of_ends(ends: Iterable[Ended]) -> Iterator[JobLine]:
    """The lines of attempts that have ended. One whose accept had not been written has the line of
    its start as well."""
    for end in ends:
        _, job, old, new, reason, worker, correlation_id, actor, ran_unaccepted = end
        job_id, worker_id = str(job), str(worker)  # each takes 1 µs, in every line
        if ran_unaccepted:
            old = JobState.RUNNING
            who = actor if actor.startswith("worker:") else f"worker:{worker_id}"
            yield JobLine(RUNS, correlation_id, who, job_id, worker_id)
        yield JobLine(changed(old, new, reason), correlation_id, actor, job_id, worker_id)
        if new == JobState.PENDING:
            yield JobLine("JobRetried", correlation_id, actor, job_id, worker_id)


def of_release(released: Iterable[Released], reason: str, actor: str) -> Iterator[JobLine]:
    """The lines of offers that went back; one for which a cancel waited ends there."""
    for back in released:
        job = (back.job_id, back.worker_id)
        words = f"JobUnassigned (lease {back.lease}): {reason}"
        yield JobLine(words, back.correlation_id, actor, *job)
        if back.cancelled_by is not None:
            yield JobLine(CANCELLED, back.correlation_id, back.cancelled_by, *job)
