"""Between the wire and our own types, once."""

import uuid
from collections.abc import Iterable
from datetime import UTC, datetime

from hodei.domain.errors import Invalid
from hodei.fleet.presence import Beat, Cancel, Drain, GoAway, LogAck, Message, Recall, Refused, ResultAck
from hodei.protocol import hodei_pb2 as pb
from hodei.store.job_logs import Chunk, StoredChunk
from hodei.store.job_queue import Offer
from hodei.store.jobs import Attempt, Job
from hodei.store.leases import Result
from hodei.store.worker_bootstrap_tokens import Token
from hodei.store.workers import Worker

FRAME_BYTES = 900_000
"""Of a frame's content, so that it stays under 1 MiB with all around it."""

OUTCOMES = {pb.SUCCEEDED: "SUCCEEDED", pb.FAILED: "FAILED", pb.CANCELLED: "CANCELLED", pb.LOST: "LOST"}


def uuid_of(text: str, what: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise Invalid(f"{what}: expected a UUID, got {text[:80]!r}") from None


def unix_us(at: datetime | None) -> int:
    return int(at.timestamp() * 1_000_000) if at else 0


def now_unix_us() -> int:
    return unix_us(datetime.now(UTC))


def frames(messages: Iterable[Message]) -> Iterable[pb.ServerFrame]:
    """Gathered messages in as few frames as their size allows."""
    frame, size = pb.ServerFrame(), 0
    for message in messages:
        weight = len(message.spec) + 300 if isinstance(message, Offer) else 100
        if size + weight > FRAME_BYTES and size:
            yield frame
            frame, size = pb.ServerFrame(), 0
        _put(frame, message)
        size += weight
    if size:
        yield frame


def _put(frame: pb.ServerFrame, message: Message) -> None:
    match message:
        case Offer():
            frame.run.add(
                lease=message.lease, job_id=str(message.job_id), attempt=message.attempt, correlation_id=message.correlation_id,
                actor=message.actor, spec=message.spec,
            )  # fmt: skip
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


def result(said: pb.Result, worker_id: uuid.UUID) -> Result:
    if said.outcome not in OUTCOMES:
        raise Invalid(f"result of lease {said.lease}: expected an outcome, got {said.outcome}")
    return Result(
        lease=said.lease,
        worker_id=worker_id,
        outcome=OUTCOMES[said.outcome],
        actor=f"worker:{worker_id}",
        ran=said.started_unix_us > 0 or said.outcome not in (pb.CANCELLED, pb.LOST),
        reason=said.reason or None,
        message=said.message[:2000].replace("\0", "") or None,
        exit_code=said.exit_code if said.HasField("exit_code") else None,
        signal=said.signal if said.HasField("signal") else None,
        run_us=said.run_us,
        peak_memory_bytes=said.peak_memory_bytes,
        cpu_us=said.cpu_us,
        log_chunks=said.log_chunks,
        log_bytes=said.log_bytes,
        log_dropped_bytes=said.log_dropped_bytes,
        leftover_processes=said.leftover_processes,
    )


def chunk(said: pb.LogChunk, worker_id: uuid.UUID) -> Chunk:
    if not 1 <= len(said.data) <= 65536:
        raise Invalid(f"log chunk {said.seq} of lease {said.lease}: expected 1 to 65536 bytes, got {len(said.data)}")
    if said.stream not in (pb.STDOUT, pb.STDERR, pb.NOTICE):
        raise Invalid(f"log chunk {said.seq} of lease {said.lease}: expected a stream, got {said.stream}")
    read_at = datetime.fromtimestamp(said.read_unix_us / 1_000_000, UTC)
    return Chunk(said.lease, worker_id, said.seq, said.stream, said.byte_offset, said.first_line, read_at, said.data)


def job(row: Job, waiting_for: str = "") -> pb.Job:
    return pb.Job(
        job_id=str(row.id),
        name=row.name,
        state=row.state,
        reason=row.reason or "",
        message=row.message or "",
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
        logs_complete=bool(row.logs_complete),
        created_unix_us=unix_us(row.created_at),
        started_unix_us=unix_us(row.started_at),
        completed_unix_us=unix_us(row.completed_at),
        cancel_requested=row.cancel_requested,
        waiting_for=waiting_for,
        leftover_processes=row.leftover_processes or 0,
        run_at_unix_us=unix_us(row.run_at),
        updated_unix_us=unix_us(row.updated_at),
        retry_of=str(row.retry_of or ""),
        cancel=row.cancel,
    )


def attempt(row: Attempt) -> pb.Attempts.Attempt:
    return pb.Attempts.Attempt(
        attempt=row.attempt,
        lease=row.lease,
        worker_id=str(row.worker_id or ""),
        started_unix_us=unix_us(row.started_at),
        ended_unix_us=unix_us(row.ended_at),
        outcome=row.outcome or "",
        reason=row.reason or "",
        exit_code=row.exit_code,
        signal=row.signal,
        log_bytes=row.log_bytes,
    )


def log_page(chunks: list[StoredChunk], cursor: str, final: pb.Job | None) -> pb.ReadLogsResponse:
    return pb.ReadLogsResponse(
        chunks=[
            pb.ReadLogsResponse.Chunk(
                stream=c.stream,  # type: ignore[arg-type]
                attempt=c.attempt,
                byte_offset=c.byte_offset,
                first_line=c.first_line,
                read_unix_us=unix_us(c.read_at),
                data=c.data,
                lease=c.lease,
                seq=c.seq,
                late=c.late,
            )
            for c in chunks
        ],
        cursor=cursor,
        job=final,
    )


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
        registered_unix_us=unix_us(row.created_at),
        revoked=row.revoked,
    )


def token(row: Token, *, reveal: bool = False) -> pb.Token:
    return pb.Token(
        token=str(row.token) if reveal else "",
        token_id=row.token_id,
        worker_id=str(row.worker_id) if row.worker_id.int else "",
        created_unix_us=unix_us(row.created_at),
        expires_unix_us=unix_us(row.expires_at),
        consumed_unix_us=unix_us(row.consumed_at),
        consumed_by=str(row.consumed_by or ""),
        state=row.state,
    )
