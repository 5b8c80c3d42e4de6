"""Answers to callers, as messages of hodei.proto."""

from collections.abc import Sequence

from loguru import logger

from hodei.domain.errors import Aborted, Duplicate, HodeiError, Locked, Unavailable
from hodei.flow.change_many import Answer
from hodei.flow.ends import EndsPage
from hodei.flow.enqueue import Created
from hodei.flow.job_ids import Meant
from hodei.flow.log_reader import LogPage
from hodei.protocol import hodei_pb2 as pb
from hodei.shapes import wire
from hodei.shapes.fleet import Worker
from hodei.shapes.job import Job

ERROR_CHARACTERS = 300
"""Characters of why a spec is refused: a thousand of them make an answer of less than 1 MiB."""

WORDS_BYTES = 2_000_000
"""Bytes of all such words in one answer."""

CODES: dict[type[HodeiError], str] = {
    Duplicate: "ALREADY_EXISTS",
    Locked: "UNAVAILABLE",
    Unavailable: "UNAVAILABLE",
    Aborted: "ABORTED",
}
"""The codes of entries; any other error is INVALID_ARGUMENT."""


def entry(created: Created) -> pb.CreateJobsResponse.Entry:
    """Returns what became of one spec of a create."""
    code = CODES.get(type(created.error), "INVALID_ARGUMENT") if created.error else ""
    return pb.CreateJobsResponse.Entry(
        job_id=str(created.job_id or ""),
        existed=created.existed,
        error=str(created.error or "")[:ERROR_CHARACTERS],
        error_code=code,
    )


def job(shown: Job) -> pb.Job:
    """A job. One that a hand has given a number beyond its field is shown as unreadable, so that
    the others of a list are shown."""
    try:
        return wire.fill(pb.Job, shown)
    except (ValueError, TypeError, OverflowError) as error:
        log = logger.bind(component="JobService", job_id=shown.job_id)
        log.warning("job cannot be shown: {}", error)
        return pb.Job(
            job_id=shown.job_id,
            name="(unreadable)",
            state=shown.state,
            message=f"this row cannot be shown: {error}"[:ERROR_CHARACTERS],
        )


def worker(shown: Worker) -> pb.Worker:
    """A worker. One that a hand has given a number beyond its field is shown as unreadable."""
    try:
        return wire.fill(pb.Worker, shown)
    except (ValueError, TypeError, OverflowError) as error:
        log = logger.bind(component="FleetService", worker_id=shown.worker_id)
        log.warning("worker cannot be shown: {}", error)
        return pb.Worker(
            worker_id=shown.worker_id,
            name="(unreadable)",
            state=shown.state,
            registered_unix_us=shown.registered_at or 0,
            heartbeat_age_s=-1.0,
        )


def meant(found: Meant) -> pb.ResolveJobsResponse.Meant:
    """The jobs that a part of an id means."""
    return pb.ResolveJobsResponse.Meant(
        jobs=[
            pb.Job(
                job_id=str(one.id), name=one.name, state=one.state, created_unix_us=one.created_at
            )
            for one in found.jobs
        ],
        more=found.more,
    )


def changes(answers: Sequence[Answer]) -> pb.ChangeJobsResponse:
    """What became of each job of a cancel or a retry. Beyond WORDS_BYTES of them refusals have no
    more words, but still their kind."""
    entries, size = [], 0
    for one in answers:
        message = one.message[:ERROR_CHARACTERS]
        size += len(message.encode())
        entries.append(
            pb.ChangeJobsResponse.Entry(
                job_id=str(one.job_id),
                change=one.change or "",
                refusal=one.refusal or "",
                state=one.state or "",
                message=message if size <= WORDS_BYTES else "",
                new_job_id=str(one.new_id or ""),
            )
        )
    return pb.ChangeJobsResponse(entries=entries)


def log_page(page: LogPage) -> pb.ReadLogsResponse:
    """A page of a log. The chunks are taken out of it: their reader may be slow, and they are in
    the message. Numbers below 0 were set by hand."""
    message = pb.ReadLogsResponse(
        chunks=[
            pb.ReadLogsResponse.Chunk(
                stream=c.stream,  # type: ignore[arg-type]
                attempt=max(c.attempt, 0),
                byte_offset=max(c.byte_offset, 0),
                first_line=max(c.first_line, 0),
                read_unix_us=c.read_at,
                data=c.data,
                lease=max(c.lease, 0),
                seq=max(c.seq, 0),
                late=c.late,
            )
            for c in page.chunks
        ],
        cursor=page.cursor,
        selected=True,
        waiting_for=page.waiting_for,
        job=job(page.final) if page.final else None,
    )
    page.chunks.clear()
    return message


def ends_page(page: EndsPage) -> pb.WaitJobsResponse:
    """Jobs that have ended."""
    return pb.WaitJobsResponse(
        ended=[job(one) for one in page.ended],
        deleted_job_ids=[str(job_id) for job_id in page.deleted],
        waiting_for=page.waiting_for,
        waiting_job_id=str(page.waiting_job or ""),
    )
