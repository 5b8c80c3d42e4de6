"""What a worker says, as our own records. Invalid: it says what no worker may, and its stream
ends."""

import math
import uuid
from collections.abc import Iterable
from typing import Any

from hodei.domain.errors import Invalid, Unauthenticated
from hodei.domain.job import Outcome, Reason
from hodei.fleet.heartbeats import ReceivedHeartbeat
from hodei.fleet.reach import Address
from hodei.fleet.sessions import HeldLease, Hello
from hodei.fleet.stream import WorkerStream
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol.bounds import LONGEST_TEXT
from hodei.protocol.words import FAILURES
from hodei.rpc import worker_checks, worker_labels
from hodei.rpc.ids import uuid_of
from hodei.rpc.worker_checks import CHUNK_BYTES, LATEST_US, within, within_all
from hodei.store.job_logs import Chunk
from hodei.store.late_results import Late
from hodei.store.leftovers import Leftover
from hodei.store.results import Result

MOST_ADDRESSES = 64
"""Addresses of a worker that are kept for balancing; it is sent to none of the others."""

LONGEST_REASON = 200
"""Characters of why an offer is rejected that are kept."""

MOST_INT = (1 << 31) - 1

MOST_EXIT_CODE, MOST_SIGNAL = 255, 64
"""A process of Linux ends with none beyond; an engine may say any number, which is left out."""

OUTCOMES = {
    pb.SUCCEEDED: Outcome.SUCCEEDED,
    pb.FAILED: Outcome.FAILED,
    pb.CANCELLED: Outcome.CANCELLED,
    pb.LOST: Outcome.LOST,
}

REASONS = {
    Outcome.SUCCEEDED: frozenset[Reason](),
    Outcome.FAILED: FAILURES,
    Outcome.CANCELLED: frozenset({Reason.CANCELLED}),
    Outcome.LOST: frozenset({Reason.WORKER_LOST}),
}
"""Which reasons a worker may give for an outcome."""

UNSAID = {
    Outcome.SUCCEEDED: None,
    Outcome.FAILED: Reason.INTERNAL,
    Outcome.CANCELLED: Reason.CANCELLED,
    Outcome.LOST: Reason.WORKER_LOST,
}
"""The reason where a worker gives none."""


def credential(metadata: Any) -> tuple[uuid.UUID, bytes]:
    """The worker's id and secret, of `authorization: Bearer <worker id>:<secret hex>`.
    Unauthenticated: there is no such metadata."""
    scheme, _, value = str(dict(metadata).get("authorization", "")).partition(" ")
    worker_id, _, secret = value.partition(":")
    try:
        if scheme == "Bearer":
            return uuid.UUID(worker_id), bytes.fromhex(secret)
    except ValueError:
        pass
    raise Unauthenticated(
        "no worker credential: expected metadata `authorization: Bearer <worker id>:<secret>`"
    )


def hello(
    said: pb.Hello,
    who: tuple[uuid.UUID, bytes],
    server_id: str,
    now: float,
    *,
    decrypts: bool = False,
) -> Hello:
    """A worker's first word, checked. `who`: its credential; `server_id`: ours; `now`: loop time;
    `decrypts`: this server has keys of secrets."""
    worker_checks.hello(said)
    addresses = [
        Address(
            server_id if one.here else one.server_id[:36],
            now - one.failed_s if one.failed_s > 0 else None,
        )
        for one in said.addresses[:MOST_ADDRESSES]
    ]
    held = [
        HeldLease(one.lease, one.phase == pb.Held.RUNNING, one.phase == pb.Held.ENDED)
        for one in said.held
    ]
    return Hello(
        worker_id=who[0],
        secret=who[1],
        instance=uuid_of(said.instance, "instance"),
        name=said.name,
        version=said.version,
        slots=said.slots,
        labels=worker_labels.of(said, decrypts=decrypts),
        job_user=said.job_user or None,
        about=_about(said),
        can_recall="recall" in said.capabilities,
        can_stay="stay" in said.capabilities,
        addresses=addresses,
        held=held,
        projects=sorted(set(said.projects)),
    )


def _about(said: pb.Hello) -> dict[str, Any]:
    """What a worker says of its host and its settings, without what it does not say."""
    about = said.about
    found: dict[str, Any] = {
        field.name: value for field, value in about.ListFields() if not isinstance(value, float)
    }
    if math.isfinite(about.drain_timeout_s) and about.HasField("drain_timeout_s"):
        found["drain_timeout_s"] = about.drain_timeout_s
    return found | {"capabilities": list(said.capabilities)}


def leftover(said: pb.Leftover) -> Leftover:
    """A container that a worker has found. Invalid: an id is none."""
    return Leftover(
        said.lease, uuid_of(said.job_id, "job_id"), uuid_of(said.worker_id, "worker_id")
    )


def heartbeat(stream: WorkerStream, said: pb.Heartbeat) -> ReceivedHeartbeat:
    """A heartbeat. Which job a lease is for is known here: a worker's word is not needed for it. A
    lease that it lists as waiting does not run, whatever else it says of it."""
    waiting = dict.fromkeys(one.lease for one in said.held if one.phase == pb.Held.WAITING)
    running = dict.fromkeys(
        one.lease
        for one in said.held
        if one.phase == pb.Held.RUNNING and one.lease in stream.held and one.lease not in waiting
    )
    return ReceivedHeartbeat(
        busy_slots=said.busy_slots,
        running=len(running),
        draining=said.draining,
        waiting=list(waiting),
        held=[held.lease for held in said.held],
        live=[held.lease for held in said.held if held.phase != pb.Held.ENDED],
        current_job_id=next((stream.held[lease] for lease in running), None),
    )


def result(said: pb.Result, worker_id: uuid.UUID, actor: str) -> Result:
    """A result. `actor`: its worker, as events name it. Of the time when it was started only
    whether there is one counts. Invalid: a number is out of range, or its parts contradict each
    other."""
    if said.outcome not in OUTCOMES:
        raise Invalid(f"result of lease {said.lease}: expected an outcome, got {said.outcome}")
    outcome = OUTCOMES[said.outcome]
    reason = _reason(said, outcome)
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
    has_code = said.HasField("exit_code") and 0 <= said.exit_code <= MOST_EXIT_CODE
    return Result(
        lease=said.lease,
        worker_id=worker_id,
        outcome=outcome,
        actor=actor,
        ran=said.started_unix_us > 0 or outcome is not Outcome.CANCELLED,
        reason=reason,
        message=_kept(said.message, LONGEST_TEXT) or None,
        exit_code=said.exit_code if has_code else None,
        signal=said.signal if 1 <= said.signal <= MOST_SIGNAL else None,
        run_us=min(said.run_us, LATEST_US),
        peak_memory_bytes=said.peak_memory_bytes,
        cpu_us=said.cpu_us,
        log_chunks=said.log_chunks,
        log_bytes=said.log_bytes,
        log_dropped_bytes=said.log_dropped_bytes,
        leftover_processes=min(said.leftover_processes, MOST_INT),
        leftover_unknown=min(said.leftover_unknown, MOST_INT),
    )


def _reason(said: pb.Result, outcome: Outcome) -> Reason | None:
    """Why an attempt ended like this. Invalid: another outcome has that reason, or what is said of
    its process rules it out."""
    if said.reason and said.reason not in REASONS[outcome]:
        expected = ", ".join(sorted(REASONS[outcome])) or "no reason"
        raise Invalid(
            f"result of lease {said.lease}, {outcome}: expected {expected},"
            f" got {said.reason[:80]!r}"
        )
    reason = Reason(said.reason) if said.reason else UNSAID[outcome]
    _check_process(said, reason)
    return reason


def _check_process(said: pb.Result, reason: Reason | None) -> None:
    """Invalid: a success ended otherwise than by exit code 0, or a failure that is one by its exit
    code or its signal otherwise than by that one."""
    expected = ""
    if reason is None and (said.exit_code or said.signal):
        expected = "exit code 0 and no signal of a success"
    elif reason is Reason.EXIT_NONZERO and (
        said.signal or (said.HasField("exit_code") and not said.exit_code)
    ):
        expected = f"another exit code than 0 and no signal with {reason}"
    elif reason is Reason.SIGNALED and said.HasField("exit_code"):
        expected = f"no exit code with {reason}"
    if expected:
        raise Invalid(
            f"result of lease {said.lease}: expected {expected},"
            f" got {said.exit_code} and {said.signal}"
        )


def late_result(said: pb.Result, worker_id: uuid.UUID) -> Late:
    """A result of a lease that was refused. Invalid: as result."""
    of_lease = result(said, worker_id, f"worker:{worker_id}")
    return Late(uuid_of(said.late_job_id, "late_job_id"), of_lease)


def chunk(said: pb.LogChunk, worker_id: uuid.UUID) -> Chunk:
    """A log chunk. Invalid: it has no bytes or too many, no stream, or a number out of range."""
    if not 1 <= len(said.data) <= CHUNK_BYTES:
        raise Invalid(
            f"log chunk {said.seq} of lease {said.lease}: expected 1 to {CHUNK_BYTES} bytes, got {len(said.data)}"
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
    """Returns for each lease why its offer is handed back."""
    found = {one.lease: _kept(one.reason, LONGEST_REASON) for one in said}
    worker_checks.leases(found)
    return found


def _kept(text: str, most: int) -> str:
    """Text of a worker for people: cut, and without NUL, which PostgreSQL cannot hold."""
    return text[:most].replace("\0", "")
