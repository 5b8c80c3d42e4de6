"""What a server says to a worker, in the worker's language (hodei.proto)."""

import time
from collections.abc import Iterable, Iterator

from loguru import logger

from hodei.domain.secret import SecretValues
from hodei.domain.timing import HEARTBEAT_S
from hodei.fleet.messages import (
    Abandoned,
    Cancel,
    CutOff,
    Drain,
    GoAway,
    LeaseSecrets,
    LogAck,
    Message,
    NextCredentialStored,
    Recall,
    Refused,
    ResultAck,
    ServerHeartbeat,
)
from hodei.fleet.sessions import Opened
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol.bounds import LONGEST_TEXT
from hodei.rpc.worker_stream import PROTOCOL
from hodei.store.claims import Offer

FRAME_BYTES = 900_000
"""Bytes of a frame's content, so that it stays under 1 MiB with all around it."""

OFFER_BYTES = 300
"""Bytes of an offer besides its spec, at most."""

MESSAGE_BYTES = 100
"""Bytes of any other message, nearly always fewer."""


def frames(messages: Iterable[Message]) -> Iterator[pb.ServerFrame]:
    """The messages in as few frames as their size allows. One that no frame can hold, for a number
    in a row that a hand has set, is logged and left out."""
    frame, size = pb.ServerFrame(), 0
    for message in messages:
        weight = _weight(message)
        if size + weight > FRAME_BYTES and size:
            yield frame
            frame, size = pb.ServerFrame(), 0
        try:
            _put(frame, message)
        except (ValueError, TypeError) as error:
            logger.bind(component="WorkerMonitor").error(
                "{} cannot be sent: {}", _named(message), error
            )
        size += weight
    if size:
        yield frame


MOST_NAMED = 10
"""Leases of a message that a line of the log names."""


def _named(message: Message) -> str:
    """A message by its kind and the leases that it is about: each is of one job."""
    one = getattr(message, "lease", None)
    leases = getattr(message, "leases", []) if one is None else [one]
    kind = type(message).__name__
    return f"{kind} of lease {', '.join(map(str, leases[:MOST_NAMED]))}" if leases else kind


def _weight(message: Message) -> int:
    """About how many bytes a message takes in a frame."""
    if isinstance(message, Offer):
        secrets = message.secrets
        return len(message.spec) + OFFER_BYTES + (_bytes(secrets) if secrets else 0)
    if isinstance(message, LeaseSecrets):
        return MESSAGE_BYTES + _bytes(message.values)
    return MESSAGE_BYTES


def _bytes(values: SecretValues) -> int:
    return sum(len(name) + len(value.encode()) + 20 for name, value in values.items())


def _put(frame: pb.ServerFrame, message: Message) -> None:
    """Puts what is said of one job's lease, or of some leases."""
    match message:
        case Offer():
            frame.run.add(
                lease=message.lease,
                job_id=str(message.job_id),
                attempt=message.attempt,
                correlation_id=message.correlation_id[:LONGEST_TEXT],
                actor=message.actor[:LONGEST_TEXT],
                spec=message.spec,
                secrets=message.secrets,
            )
        case LeaseSecrets(lease, values):
            frame.secrets.add(lease=lease, values=values)
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
        case Abandoned(leases):
            frame.abandoned.extend(leases)
        case _:
            _put_of_worker(frame, message)


def _put_of_worker(frame: pb.ServerFrame, message: Message) -> None:
    match message:
        case Drain(on):
            frame.drain, frame.undrain = on, not on
        case CutOff(on):
            frame.cut_off, frame.reaches_database = on, not on
        case NextCredentialStored(sha256):
            frame.next_credential_stored = sha256
        case ServerHeartbeat():
            frame.beat_unix_us = _now_unix_us()
        case GoAway(after, why):
            frame.go_away.reconnect_after_s, frame.go_away.why = after, why


CAPABILITIES = ("containers-only", "projects")
"""What workers may rely on. A worker that runs only containers, or that takes jobs of some projects
only, leaves a server without the word for it: an older release would give it other jobs, too."""


def welcome(opened: Opened, server_id: str, lost_after_s: float) -> pb.ServerFrame:
    """The answer to a worker's hello."""
    said = pb.Welcome(
        protocol=PROTOCOL,
        session=opened.stream.session,
        heartbeat_s=HEARTBEAT_S,
        lost_after_s=lost_after_s,
        clock_unix_us=_now_unix_us(),
        server_id=server_id,
        cluster_id=opened.cluster_id,
        capabilities=CAPABILITIES,
        renew_credential_in_s=opened.renew_credential_in_s,
    )
    for one in opened.resumed:
        said.resume.add(
            lease=one.lease, holds=one.holds, log_seq=one.log_seq, accepted=one.accepted
        )
    return pb.ServerFrame(welcome=said)


def _now_unix_us() -> int:
    return time.time_ns() // 1000
