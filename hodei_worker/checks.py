"""Checks of the messages of servers before they are used. A bad message, whether by intent or by a
fault, ends the stream; it harms no job.

Numbers that the worker does not use (`session`, `beat_unix_us`) may be anything. How many entries
a frame has is bounded by its size alone (CHANNEL_OPTIONS): those about unknown leases cost
nothing."""

import math
import re
import time
from collections.abc import Iterable, Mapping

from loguru import logger

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol.bounds import (
    CAPABILITY,
    LONGEST_SPEC,
    LONGEST_TEXT,
    MOST_AHEAD,
    MOST_CAPABILITIES,
    MOST_HELD,
    MOST_NUMBER,
    SHA256_BYTES,
)
from hodei.protocol.words import FAILURES, Reason

MOST_SECRETS, LONGEST_NAME = 100, 200
"""Secrets of one job, and characters of the name of one. Servers give a third, and take half."""

MOST_VALUES = 1 << 19
"""Characters of the values of one job's secrets. Servers give half as many at most."""

UUID = re.compile("[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


class BadFrame(Exception):
    """The message says what was expected and what the server sent."""


def most_offers(slots: int) -> int:
    """Returns how many offers may wait for a slot: twice what a server sends, because offers that
    it has given up count here until it says so. A server that sends more does not heed the slots:
    another one is asked for work."""
    return 2 * (slots + MOST_AHEAD)


def check_welcome(sent: pb.Welcome) -> None:
    """Raises BadFrame. A server that does not send a number leaves it 0, which is valid."""
    _check_range(sent.protocol or 1, "protocol", 1, 1)
    _check_range(sent.heartbeat_s or 10.0, "heartbeat_s", 0.1, 60.0)
    _check_range(sent.lost_after_s or 60.0, "lost_after_s", 1.0, 86_400.0)
    _check_range(sent.renew_credential_in_s, "renew_credential_in_s", 0.0, 1e9)
    for what, text in (("server_id", sent.server_id), ("cluster_id", sent.cluster_id)):
        if text:
            _check_uuid(text, what)
    _check_range(len(sent.capabilities), "number of capabilities", 0, MOST_CAPABILITIES)
    for word in sent.capabilities:
        if not CAPABILITY.fullmatch(word):
            raise BadFrame(f"capabilities: expected WORD or WORD=VALUE, got {word[:80]!r}")
    _check_range(len(sent.resume), "number of resumed leases", 0, MOST_HELD)
    for resume in sent.resume:
        _check_range(resume.lease, "lease", 1, MOST_NUMBER)
        _check_range(resume.log_seq, "log_seq", 0, MOST_NUMBER)


def check_frame(sent: pb.ServerFrame, waiting: int, slots: int) -> None:
    """Raises BadFrame. `waiting` is the number of offers that already wait for a slot."""
    if len(sent.run) + waiting > most_offers(slots):
        raise BadFrame(
            f"offers: expected at most {most_offers(slots)} that wait for {slots} slots,"
            f" got {len(sent.run)} more than the {waiting} that wait"
        )
    for offer in sent.run:
        _check_offer(offer)
        _check_values(offer.secrets)
    for given in sent.secrets:
        _check_range(given.lease, "lease", 1, MOST_NUMBER)
        _check_values(given.values)
    for cancel in sent.cancel:
        _check_cancel(cancel)
    for refusal in sent.refused:
        _check_range(refusal.lease, "lease", 1, MOST_NUMBER)
        _check_text(refusal.why, "why a lease is refused")
    for ack in sent.log_acks:
        _check_range(ack.lease, "lease", 1, MOST_NUMBER)
        _check_range(ack.next_seq, "next_seq", 0, MOST_NUMBER)
    for leases in (sent.result_acks, sent.recall, sent.abandoned):
        _check_leases(leases)
    _check_of_worker(sent)


def _check_of_worker(sent: pb.ServerFrame) -> None:
    """Checks what a frame says of the worker itself."""
    if (size := len(sent.next_credential_stored)) not in (0, SHA256_BYTES):
        raise BadFrame(f"next_credential_stored: expected {SHA256_BYTES} bytes, got {size}")
    if sent.HasField("go_away"):
        _check_range(sent.go_away.reconnect_after_s, "reconnect_after_s", 0.0, 3600.0)
        _check_text(sent.go_away.why, "why the worker is to go")


def _check_offer(offer: pb.RunJob) -> None:
    if not 1 <= offer.lease <= MOST_NUMBER or not 1 <= offer.attempt < 1 << 31:
        raise BadFrame(
            f"offer: expected a lease and an attempt, got {offer.lease} and {offer.attempt}"
        )
    if len(offer.spec) > LONGEST_SPEC:
        raise BadFrame(
            f"offer: expected a spec of at most {LONGEST_SPEC} characters, got {len(offer.spec)}"
        )
    _check_uuid(offer.job_id, "job_id")
    _check_text(offer.correlation_id, "correlation_id")
    _check_text(offer.actor, "actor")


def _check_values(values: Mapping[str, str]) -> None:
    if (size := sum(map(len, values.values()))) > MOST_VALUES:
        raise BadFrame(f"secrets: expected at most {MOST_VALUES} characters of values, got {size}")
    _check_range(len(values), "number of secrets", 0, MOST_SECRETS)
    _check_range(max(map(len, values), default=0), "characters of a secret's name", 0, LONGEST_NAME)


def _check_cancel(cancel: pb.CancelJob) -> None:
    """By the reason the job is CANCELLED or FAILED. With another one servers would refuse its
    result for ever."""
    _check_range(cancel.lease, "lease", 1, MOST_NUMBER)
    _check_text(cancel.message, "message of a cancel")
    if cancel.reason not in FAILURES | {Reason.CANCELLED}:
        raise BadFrame(f"cancel: expected a reason to end a job, got {cancel.reason[:80]!r}")


def _check_leases(numbers: Iterable[int]) -> None:
    _check_range(max(numbers, default=1), "lease", 1, MOST_NUMBER)


def _check_range(value: float, what: str, least: float, most: float) -> None:
    if not (math.isfinite(value) and least <= value <= most):
        raise BadFrame(f"{what}: expected {least:g} to {most:g}, got {value:g}")


def _check_text(text: str, what: str) -> None:
    if len(text) > LONGEST_TEXT or "\0" in text:
        raise BadFrame(
            f"{what}: expected at most {LONGEST_TEXT} characters without NUL,"
            f" got {len(text)}: {text[:80]!r}"
        )


def _check_uuid(text: str, what: str) -> None:
    if not UUID.fullmatch(text):
        raise BadFrame(f"{what}: expected a UUID, got {text[:80]!r}")


def compare_clocks(sent: pb.Welcome) -> None:
    """Logs a clock that differs much from the server's."""
    skew_s = time.time() - sent.clock_unix_us / 1e6
    if abs(skew_s) > 5:
        logger.warning(
            "this host's clock differs from the server's by {:.0f} s;"
            " the times of log lines will be wrong by as much",
            skew_s,
        )
