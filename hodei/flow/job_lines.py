"""What has become of jobs, as log lines: a line for each event of the audit, in its order and with
its actor, said where it was committed; those of one batch are written together."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from hodei.domain.job import JobState, Reason
from hodei.domain.job_line import JobLine
from hodei.store.accepts import Accepted
from hodei.store.claims import Offer
from hodei.store.releases import Released
from hodei.store.results import Ended

if TYPE_CHECKING:
    from loguru import Logger


def say(log: "Logger", lines: Iterable[JobLine]) -> None:
    """As one record (hodei/protocol/log/writer.py): its cost is that of a batch, not of a line."""
    log.opt(depth=1).bind(lines=lines).info("")


def changed(old: JobState, new: JobState, reason: Reason | None) -> str:
    return (
        f"JobStatusChanged {old} → {new} ({reason})"
        if reason
        else f"JobStatusChanged {old} → {new}"
    )


RUNS = changed(JobState.PENDING, JobState.RUNNING, None)


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


def of_end(end: Ended) -> Iterator[JobLine]:
    """One whose accept had not been written says RUNNING as well."""
    _, job_id, old, new, reason, worker_id, correlation_id, actor, ran_unaccepted = end
    if ran_unaccepted:
        old = JobState.RUNNING
        who = actor if actor.startswith("worker:") else f"worker:{worker_id}"
        yield JobLine(RUNS, correlation_id, who, job_id, worker_id)
    yield JobLine(changed(old, new, reason), correlation_id, actor, job_id, worker_id)
    if new == JobState.PENDING:
        yield JobLine("JobRetried", correlation_id, actor, job_id, worker_id)


def of_release(released: Iterable[Released], reason: str, actor: str) -> Iterator[JobLine]:
    """One for which a cancel waited ends there."""
    for back in released:
        job = (back.job_id, back.worker_id)
        words = f"JobUnassigned (lease {back.lease}): {reason}"
        yield JobLine(words, back.correlation_id, actor, *job)
        if back.cancelled_by is not None:
            words = changed(JobState.PENDING, JobState.CANCELLED, Reason.CANCELLED)
            yield JobLine(words, back.correlation_id, back.cancelled_by, *job)
