"""What servers send is checked before it is used: a peer that lies, or a fault of ours, costs this
stream and no job."""

import math
import uuid

from hodei.protocol import hodei_pb2 as pb

MOST_NUMBER = 1 << 62
"""Of a lease or a chunk's number: what the servers' database can hold."""

LONGEST_SPEC = 1 << 20
"""Bytes; the door takes a quarter of it."""

MOST_OFFERS = 20_000
"""Offers that may wait here beside those that run: servers send a worker some hundreds at most."""


class BadFrame(Exception):
    """What was expected, and what the server sent."""


def _within(value: float, what: str, least: float, most: float) -> None:
    if not (math.isfinite(value) and least <= value <= most):
        raise BadFrame(f"{what}: expected {least:g} to {most:g}, got {value:g}")


def welcome(sent: pb.Welcome) -> None:
    """0 stands for a number that the server does not say."""
    _within(sent.heartbeat_s or 10.0, "heartbeat_s", 0.1, 60.0)
    _within(sent.lost_after_s or 60.0, "lost_after_s", 1.0, 86_400.0)
    for resume in sent.resume:
        _within(resume.lease, "lease", 1, MOST_NUMBER)
        _within(resume.log_seq, "log_seq", 0, MOST_NUMBER)


def frame(sent: pb.ServerFrame, waiting: int) -> None:
    """`waiting`: offers that wait here already."""
    if len(sent.run) + waiting > MOST_OFFERS:
        raise BadFrame(
            f"offers: expected at most {MOST_OFFERS} that wait, got {len(sent.run)} more"
        )
    for offer in sent.run:
        _offer(offer)
    if sent.HasField("go_away"):
        _within(sent.go_away.reconnect_after_s, "reconnect_after_s", 0.0, 3600.0)


def _offer(offer: pb.RunJob) -> None:
    if not 1 <= offer.lease <= MOST_NUMBER or not 1 <= offer.attempt < 1 << 31:
        raise BadFrame(
            f"offer: expected a lease and an attempt, got {offer.lease} and {offer.attempt}"
        )
    if len(offer.spec) > LONGEST_SPEC:
        raise BadFrame(
            f"offer: expected a spec of at most {LONGEST_SPEC} bytes, got {len(offer.spec)}"
        )
    try:
        uuid.UUID(offer.job_id)
    except ValueError:
        raise BadFrame(f"offer: expected a job's UUID, got {offer.job_id[:80]!r}") from None
