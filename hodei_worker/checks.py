"""Checks of the messages of servers before they are used. A bad message, whether by intent or by a
fault, ends the stream; it harms no job."""

import math
import time
import uuid
from collections.abc import Mapping

from loguru import logger

from hodei.protocol import hodei_pb2 as pb

MOST_NUMBER = 1 << 62
"""The largest lease and the largest number of a chunk; the database could hold twice as much."""

LONGEST_SPEC = 1 << 20
"""Bytes. Servers accept specs of a quarter of it."""

MOST_VALUES = 1 << 19
"""Characters of the values of one job's secrets. Servers give half as many at most."""

MOST_OFFERS = 20_000
"""Offers that may wait for a slot. Servers send a worker some hundreds at most."""


class BadFrame(Exception):
    """The message says what was expected and what the server sent."""


def _check_range(value: float, what: str, least: float, most: float) -> None:
    if not (math.isfinite(value) and least <= value <= most):
        raise BadFrame(f"{what}: expected {least:g} to {most:g}, got {value:g}")


def check_welcome(sent: pb.Welcome) -> None:
    """Raises BadFrame. A server that does not send a number leaves it 0, which is valid."""
    _check_range(sent.heartbeat_s or 10.0, "heartbeat_s", 0.1, 60.0)
    _check_range(sent.lost_after_s or 60.0, "lost_after_s", 1.0, 86_400.0)
    _check_range(sent.renew_credential_in_s, "renew_credential_in_s", 0.0, 1e9)
    if sent.cluster_id:
        try:
            uuid.UUID(sent.cluster_id)
        except ValueError:
            raise BadFrame(f"cluster_id: expected a UUID, got {sent.cluster_id[:80]!r}") from None
    for resume in sent.resume:
        _check_range(resume.lease, "lease", 1, MOST_NUMBER)
        _check_range(resume.log_seq, "log_seq", 0, MOST_NUMBER)


def check_frame(sent: pb.ServerFrame, waiting: int) -> None:
    """Raises BadFrame. `waiting` is the number of offers that already wait for a slot."""
    if len(sent.run) + waiting > MOST_OFFERS:
        raise BadFrame(
            f"offers: expected at most {MOST_OFFERS} that wait, got {len(sent.run)} more"
        )
    for offer in sent.run:
        _check_offer(offer)
        _check_values(offer.secrets)
    for given in sent.secrets:
        _check_range(given.lease, "lease", 1, MOST_NUMBER)
        _check_values(given.values)
    if sent.HasField("go_away"):
        _check_range(sent.go_away.reconnect_after_s, "reconnect_after_s", 0.0, 3600.0)


def _check_values(values: Mapping[str, str]) -> None:
    if (size := sum(map(len, values.values()))) > MOST_VALUES:
        raise BadFrame(f"secrets: expected at most {MOST_VALUES} characters of values, got {size}")


def _check_offer(offer: pb.RunJob) -> None:
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


def compare_clocks(sent: pb.Welcome) -> None:
    """Logs a clock that differs much from the server's."""
    skew_s = time.time() - sent.clock_unix_us / 1e6
    if abs(skew_s) > 5:
        logger.warning(
            "this host's clock differs from the server's by {:.0f} s;"
            " the times of log lines will be wrong by as much",
            skew_s,
        )
