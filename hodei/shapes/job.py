"""A job and what belongs to it, as they are shown."""

from dataclasses import dataclass
from typing import Annotated

from hodei.shapes.fields import Json, Time


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A job that was submitted."""

    job_id: Annotated[str, "Its UUID."]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job. Exit code, signal, memory, log and leftovers are those of its last attempt."""

    job_id: Annotated[str, "Its UUID."]
    name: Annotated[str, "Its name, for people."]
    state: Annotated[str, "PENDING, RUNNING, SUCCEEDED, FAILED or CANCELLED."]
    reason: Annotated[str | None, "Why it failed or was cancelled, one word (job-spec.md)."] = None
    message: Annotated[str | None, "The same in words, at most 2,000 characters."] = None
    spec: Annotated[Json | None, "What it runs (job-spec.md); null in lists."] = None
    attempts: Annotated[int, "How often it was tried."] = 0
    priority: Annotated[int, "Jobs with a higher one run first."] = 0
    correlation_id: Annotated[str, "Ties it to other jobs and to events."] = ""
    actor: Annotated[str, "Who created it."] = ""
    worker_id: Annotated[str | None, "The worker that has it, or had it last."] = None
    worker_name: Annotated[str | None, "That worker's name; null: its row is gone."] = None
    exit_code: Annotated[int | None, "Exit code of its process."] = None
    signal: Annotated[int | None, "Number of the signal that ended its process."] = None
    peak_memory_bytes: Annotated[
        int | None,
        "The most memory that one of its processes used; of a container all of it, sampled each"
        " second.",
    ] = None
    cpu_s: Annotated[
        float | None,
        "Processor time of its process and of those that it waited for; of a container all of it,"
        " sampled each second.",
    ] = None
    log_bytes: Annotated[int, "Bytes of stdout and stderr that are kept."] = 0
    log_dropped_bytes: Annotated[
        int, "Bytes that were not kept: over the log limit, or no room on the disk."
    ] = 0
    logs_complete: Annotated[bool, "Whether all that it wrote is stored; false before its end."] = (
        False
    )
    leftover_processes: Annotated[
        int, "Processes that outlived its own process and were killed."
    ] = 0
    leftover_unknown: Annotated[
        int, "Processes that were left alive: they may have been its own or another job's."
    ] = 0
    created_at: Annotated[Time | None, "When it was created."] = None
    updated_at: Annotated[Time | None, "Time of its last event."] = None
    run_at: Annotated[Time | None, "It does not run before; null: no such time."] = None
    started_at: Annotated[Time | None, "When its last attempt was accepted by a worker."] = None
    completed_at: Annotated[Time | None, "When it reached a final state."] = None
    cancel_requested: Annotated[bool, "Whether somebody asked to cancel it."] = False
    cancel: Annotated[
        str | None,
        "How far the cancel of a job has come that a worker has: requested, delivered (the worker "
        "knows), stopping (the job's stop signal was sent).",
    ] = None
    waiting_for: Annotated[str | None, "Why a PENDING job does not run, in words."] = None
    retry_of: Annotated[str | None, "The job of which it is a retry."] = None
    project: Annotated[
        str, "The project that it belongs to; empty: the server is of an older release."
    ] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobChange:
    """What a cancel or a retry did to one job."""

    job_id: Annotated[str, "The job's UUID."]
    change: Annotated[
        str | None,
        "CANCELLED (it waited), CANCEL_REQUESTED (its worker is to stop it) or RETRIED; null: "
        "nothing was done. With --dry-run, what would be done.",
    ] = None
    refusal: Annotated[
        str | None,
        "Why nothing was done: NOT_FOUND, ENDED, NOT_ENDED, OTHER_STATE (no longer one that was "
        "asked for), LOCKED (by another transaction), DUPLICATE or REFUSED; null: it was done.",
    ] = None
    state: Annotated[str | None, "The job's state after that; null: not known."] = None
    message: Annotated[str | None, "The refusal in words."] = None
    new_job_id: Annotated[str | None, "The job that runs it again."] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One accepted try of a job."""

    attempt: Annotated[int, "Its number, from 1."]
    lease: Annotated[int, "The number of its claim, also in the events."]
    worker_id: Annotated[str | None, "The worker that ran it."] = None
    worker_name: Annotated[str | None, "That worker's name; null: its row is gone."] = None
    outcome: Annotated[str | None, "SUCCEEDED, FAILED, CANCELLED or LOST; null: it runs."] = None
    reason: Annotated[str | None, "Why it failed or was cancelled."] = None
    exit_code: Annotated[int | None, "Exit code of its process."] = None
    signal: Annotated[int | None, "Number of the signal that ended its process."] = None
    started_at: Annotated[Time | None, "When the worker accepted it."] = None
    ended_at: Annotated[Time | None, "When it ended."] = None
    log_bytes: Annotated[int, "Bytes of its log that are stored."] = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One event of a job (events.md)."""

    occurred_at: Annotated[Time, "When it was committed, later than the event before."]
    event_type: Annotated[str, "JobCreated, JobAssigned, JobStatusChanged, …"]
    aggregate_id: Annotated[str, "What it is about: the job's id."]
    actor: Annotated[str, "Who did it."]
    correlation_id: Annotated[str, "The correlation id of the job."]
    payload: Annotated[Json, "The keys of this type of event (events.md)."]
    worker_id: Annotated[str | None, "The worker that it concerns."] = None
    worker_name: Annotated[str | None, "That worker's name; null: its row is gone."] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogChunk:
    """A part of a log, in the order in which it was written. One of `text` and `data_base64` is
    null."""

    job_id: Annotated[str, "The job that wrote it."]
    stream: Annotated[str, "stdout, stderr, or notice: Hodei's own words."]
    lease: Annotated[int, "The number of its attempt's claim, as in the attempts."]
    attempt: Annotated[int, "The attempt that wrote it."]
    byte_offset: Annotated[int, "Position of its first byte in its stream and attempt."]
    first_line: Annotated[int, "Number of the line that its first byte belongs to, from 1."]
    read_at: Annotated[Time | None, "When the worker read it."]
    late: Annotated[bool, "Whether it arrived after its attempt had been given up."]
    text: Annotated[str | None, "What was written, if it is UTF-8."]
    data_base64: Annotated[str | None, "What was written, if it is not."]
