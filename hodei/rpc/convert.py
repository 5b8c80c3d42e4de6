"""Between the wire and our own types, once."""

import time
import uuid
from collections.abc import Iterable

from loguru import logger

from hodei.domain.errors import Invalid
from hodei.domain.job import Outcome, Reason
from hodei.fleet.presence import (
    Beat,
    Cancel,
    Drain,
    GoAway,
    LogAck,
    Message,
    Recall,
    Refused,
    ResultAck,
)
from hodei.flow.log_reader import Page
from hodei.protocol import hodei_pb2 as pb
from hodei.store.claims import Offer
from hodei.store.job_logs import Chunk
from hodei.store.job_story import Attempt
from hodei.store.jobs import Job
from hodei.store.results import Result
from hodei.store.worker_bootstrap_tokens import Token
from hodei.store.workers import Worker

FRAME_BYTES = 900_000
"""Of a frame's content, so that it stays under 1 MiB with all around it."""

REASONS = frozenset(Reason)

OUTCOMES = {
    pb.SUCCEEDED: Outcome.SUCCEEDED,
    pb.FAILED: Outcome.FAILED,
    pb.CANCELLED: Outcome.CANCELLED,
    pb.LOST: Outcome.LOST,
}


def uuid_of(text: str, what: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise Invalid(f"{what}: expected a UUID, got {text[:80]!r}") from None


def now_unix_us() -> int:
    return time.time_ns() // 1000


def frames(messages: Iterable[Message]) -> Iterable[pb.ServerFrame]:
    """Gathered messages in as few frames as their size allows."""
    frame, size = pb.ServerFrame(), 0
    for message in messages:
        weight = len(message.spec) + 300 if isinstance(message, Offer) else 100
        if size + weight > FRAME_BYTES and size:
            yield frame
            frame, size = pb.ServerFrame(), 0
        try:
            _put(frame, message)
        except (
            ValueError,
            TypeError,
        ) as error:  # a number in a row that a hand has set: it costs this message
            logger.bind(component="WorkerMonitor").error(
                "{} cannot be sent: {}", type(message).__name__, error
            )
        size += weight
    if size:
        yield frame


def _put(frame: pb.ServerFrame, message: Message) -> None:
    match message:
        case Offer():
            frame.run.add(
                lease=message.lease,
                job_id=str(message.job_id),
                attempt=message.attempt,
                correlation_id=message.correlation_id,
                actor=message.actor,
                spec=message.spec,
            )
        case LogAck(lease, next_seq):
            frame.log_acks.add(lease=lease, next_seq=next_seq)
        case ResultAck(leases):
            frame.result_acks.extend(leases)
        case Refused(lease, why):
            frame.refused.add(lease=lease, why=why)
        case Cancel(lease, reason, words):
            frame.cancel.add(lease=lease, reason=reason, message=words)
        case Recall(leases):
            frame.recall.extend(leases)
        case Drain(on):
            frame.drain, frame.undrain = on, not on
        case Beat():
            frame.beat_unix_us = now_unix_us()
        case GoAway(after, why):
            frame.go_away.reconnect_after_s, frame.go_away.why = after, why


MOST_NUMBER = 1 << 62
"""Of any count, size or number that a worker may send: half of what a bigint holds, so that a sum
of two is one."""

LATEST_US = 4_102_444_800_000_000
"""Of the year 2100: a later time of a worker is a fault."""

MOST_CODE = (1 << 31) - 1


def within(value: int, what: str, most: int = MOST_NUMBER, least: int = 0) -> int:
    """The value, as the store can hold it. Invalid names what is out of range."""
    if not least <= value <= most:
        raise Invalid(f"{what}: expected {least} to {most}, got {value}")
    return value


def within_all(what: str, **numbers: int) -> None:
    """As within, of several numbers at once: nearly always all are."""
    if max(numbers.values()) > MOST_NUMBER:
        for name, value in numbers.items():
            within(value, f"{what}: {name}")


def leases_of(leases: Iterable[int]) -> None:
    """Whether the store can hold these numbers of leases."""
    within(max(leases, default=0), "lease")


def words(text: str, most: int) -> str:
    """Text of a worker for people: cut, and without NUL, which PostgreSQL cannot hold."""
    return text[:most].replace("\0", "")


def result(said: pb.Result, worker_id: uuid.UUID) -> Result:
    """Invalid: a number out of its range, or a reason that is not of the closed list."""
    if said.outcome not in OUTCOMES:
        raise Invalid(f"result of lease {said.lease}: expected an outcome, got {said.outcome}")
    if said.reason and said.reason not in REASONS:
        raise Invalid(
            f"result of lease {said.lease}: expected a reason of {', '.join(REASONS)}, got {said.reason[:80]!r}"
        )
    within_all(
        "result",
        lease=said.lease,
        run_us=said.run_us,
        peak_memory_bytes=said.peak_memory_bytes,
        cpu_us=said.cpu_us,
        log_chunks=said.log_chunks,
        log_bytes=said.log_bytes,
        log_dropped_bytes=said.log_dropped_bytes,
    )
    return Result(
        lease=said.lease,
        worker_id=worker_id,
        outcome=OUTCOMES[said.outcome],
        actor=f"worker:{worker_id}",
        ran=said.started_unix_us > 0 or said.outcome not in (pb.CANCELLED, pb.LOST),
        reason=Reason(said.reason) if said.reason else None,
        message=words(said.message, 2000) or None,
        exit_code=said.exit_code if said.HasField("exit_code") else None,
        signal=said.signal if said.HasField("signal") else None,
        run_us=min(said.run_us, LATEST_US),
        peak_memory_bytes=said.peak_memory_bytes,
        cpu_us=said.cpu_us,
        log_chunks=said.log_chunks,
        log_bytes=said.log_bytes,
        log_dropped_bytes=said.log_dropped_bytes,
        leftover_processes=min(said.leftover_processes, MOST_CODE),
        leftover_unknown=min(said.leftover_unknown, MOST_CODE),
    )


def chunk(said: pb.LogChunk, worker_id: uuid.UUID) -> Chunk:
    """Invalid: no bytes or too many, no stream, a number out of its range."""
    if not 1 <= len(said.data) <= 65536:
        raise Invalid(
            f"log chunk {said.seq} of lease {said.lease}: expected 1 to 65536 bytes, got {len(said.data)}"
        )
    if said.stream not in (pb.STDOUT, pb.STDERR, pb.NOTICE):
        raise Invalid(
            f"log chunk {said.seq} of lease {said.lease}: expected a stream, got {said.stream}"
        )
    within_all(
        "log chunk",
        lease=said.lease,
        seq=said.seq,
        byte_offset=said.byte_offset,
        first_line=said.first_line,
    )
    read_us = within(said.read_unix_us, "log chunk: read_unix_us", LATEST_US)
    return Chunk(
        said.lease,
        worker_id,
        said.seq,
        said.stream,
        said.byte_offset,
        said.first_line,
        read_us,
        said.data,
    )


def rejects(said: Iterable[pb.Reject]) -> dict[int, str]:
    """By lease, why an offer is handed back."""
    found = {one.lease: words(one.reason, 200) for one in said}
    leases_of(found)
    return found


def _job(row: Job, waiting_for: str) -> pb.Job:
    return pb.Job(
        job_id=str(row.id),
        name=row.name,
        state=row.state,
        reason=row.reason or "",
        message=(row.message or "")[:2000],
        spec=row.spec,
        attempts=row.attempts,
        priority=row.priority,
        correlation_id=row.correlation_id,
        actor=row.actor,
        worker_id=str(row.worker_id or ""),
        exit_code=row.exit_code,
        signal=row.signal,
        peak_memory_bytes=row.peak_memory_bytes or 0,
        cpu_s=(row.cpu_us or 0) / 1_000_000,
        log_bytes=row.log_bytes,
        log_dropped_bytes=row.log_dropped_bytes,
        logs_complete=bool(row.logs_complete),
        created_unix_us=row.created_at or 0,
        started_unix_us=row.started_at or 0,
        completed_unix_us=row.completed_at or 0,
        cancel_requested=row.cancel_requested,
        waiting_for=waiting_for[:2000],
        leftover_processes=row.leftover_processes or 0,
        leftover_unknown=row.leftover_unknown or 0,
        run_at_unix_us=row.run_at or 0,
        updated_unix_us=row.updated_at or 0,
        retry_of=str(row.retry_of or ""),
        cancel=row.cancel,
    )


def job(row: Job, waiting_for: str = "") -> pb.Job:
    """A row that a hand has made unreadable is shown as such, so that the others of a list are
    shown."""
    try:
        return _job(row, waiting_for)
    except (ValueError, TypeError, OverflowError) as error:
        logger.bind(component="JobService", job_id=row.id).warning("job cannot be shown: {}", error)
        return pb.Job(
            job_id=str(row.id),
            name="(unreadable)",
            state=row.state,
            message=f"this row cannot be shown: {error}"[:300],
        )


def attempt(row: Attempt) -> pb.Attempts.Attempt:
    return pb.Attempts.Attempt(
        attempt=row.attempt,
        lease=row.lease,
        worker_id=str(row.worker_id or ""),
        started_unix_us=row.started_at or 0,
        ended_unix_us=row.ended_at or 0,
        outcome=row.outcome or "",
        reason=row.reason or "",
        exit_code=row.exit_code,
        signal=row.signal,
        log_bytes=row.log_bytes,
    )


def log_page(page: Page) -> pb.ReadLogsResponse:
    """Takes the chunks out of the page: their reader may be slow, and they are in the message."""
    message = pb.ReadLogsResponse(
        chunks=[
            pb.ReadLogsResponse.Chunk(
                stream=c.stream,  # type: ignore[arg-type]
                attempt=c.attempt,
                byte_offset=c.byte_offset,
                first_line=c.first_line,
                read_unix_us=c.read_at,
                data=c.data,
                lease=c.lease,
                seq=c.seq,
                late=c.late,
            )
            for c in page.chunks
        ],
        cursor=page.cursor,
        job=job(page.final) if page.final else None,
    )
    page.chunks.clear()
    return message


PAGE_BYTES = 256 << 10
"""Of a list's answer. What a client does not take stays in memory: so pages are small, and there
are more."""


def worker(row: Worker) -> pb.Worker:
    return pb.Worker(
        worker_id=str(row.id),
        name=row.name,
        state=row.state,
        labels=row.labels,
        slots=row.slots,
        busy_slots=row.busy_slots,
        heartbeat_age_s=-1.0 if row.heartbeat_age_s is None else row.heartbeat_age_s,
        version=row.version,
        current_job_id=str(row.current_job_id or ""),
        registered_unix_us=row.created_at or 0,
        revoked=row.revoked,
        job_user=row.job_user or "",
    )


def token(row: Token, *, reveal: bool = False) -> pb.Token:
    return pb.Token(
        token=str(row.token) if reveal else "",
        token_id=row.token_id,
        worker_id=str(row.worker_id) if row.worker_id.int else "",
        created_unix_us=row.created_at or 0,
        expires_unix_us=row.expires_at or 0,
        consumed_unix_us=row.consumed_at or 0,
        consumed_by=str(row.consumed_by or ""),
        state=row.state,
    )
