"""The first server that answers, and what is wrong where none does."""

import time
from collections.abc import Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, NamedTuple

from hodei.cli.errors import Failure
from hodei.domain.text import shown
from hodei.shapes.error import ErrorKind
from hodei.tls.address import Address
from hodei.tls.caller import Tls, open_channel

if TYPE_CHECKING:
    import grpc

CHANNEL_OPTIONS = [("grpc.max_receive_message_length", 8 << 20), ("grpc.keepalive_time_ms", 20_000)]

DIAGNOSE_S = 1.0
"""Seconds for each step of the connection that finds out why nobody answers."""

HINT = "start one with `hodei-server`, or everything with `hodei dev`"

NOT_SERVING = b"\x08\x02"
"""grpc.health.v1.HealthCheckResponse on the wire, of which nothing more is needed here."""


class Unanswered(Failure):
    """None of the addresses has a server: nothing was sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ErrorKind.NO_SERVER)


class Health(Enum):
    """A server's health, as it says it itself."""

    SERVING = "it takes work, or is of a kind that does not say"
    NOT_SERVING = "it drains, or is without its database"
    SILENT = "nobody answers there"


class Found(NamedTuple):
    """What was found at an address. `words`: why nobody answers, if that is known."""

    health: Health
    words: str = ""


def first_that_answers(
    candidates: Sequence[Address], tls: Tls, within_s: float
) -> tuple["grpc.Channel", Address]:
    """The channel to the first server that serves, and its address. Where none serves, the first
    that answers is taken: it has the words for why. Unanswered: none answers. BadTls."""
    import grpc

    passed_over: tuple[grpc.Channel, Address] | None = None
    silent: dict[Address, str] = {}
    for address in candidates:
        channel = open_channel(grpc, address, tls, CHANNEL_OPTIONS)
        found = _look(channel, address, tls, within_s / len(candidates))
        if found.health is Health.SERVING:
            if passed_over:
                passed_over[0].close()
            return channel, address
        if found.health is Health.NOT_SERVING and passed_over is None:
            passed_over = channel, address
        else:
            channel.close()
            silent[address] = found.words
    if passed_over:
        return passed_over
    raise Unanswered(shown(_words(silent)))


def _look(channel: "grpc.Channel", address: Address, tls: Tls, within_s: float) -> Found:
    """Asks a server for its health, which costs a round trip: grpc's own way to wait for a channel
    has a thread that delays the program's end by 0.2 s. A server that is not there yet is waited
    for; one that cannot be used is not."""
    deadline = time.monotonic() + within_s
    first = _ask(channel, within_s, wait=False)
    if isinstance(first, Found):
        return first
    words, is_final = _why(address, tls, first)
    if is_final:
        return Found(Health.SILENT, words)
    last = _ask(channel, max(0.001, deadline - time.monotonic()), wait=True)
    return last if isinstance(last, Found) else Found(Health.SILENT, words)


def _why(address: Address, tls: Tls, grpc_words: str) -> tuple[str, bool]:
    """What is wrong, and whether another try finds the same. (Python's ssl is imported only then.)"""
    from hodei.tls.diagnosis import why

    return why(address, tls, grpc_words, DIAGNOSE_S)


def _ask(channel: "grpc.Channel", within_s: float, *, wait: bool) -> Found | str:
    """The health of a server, or gRPC's words for why it does not answer."""
    import grpc

    check: Any = channel.unary_unary("/grpc.health.v1.Health/Check")
    try:
        answer = check(b"", timeout=within_s, wait_for_ready=wait)
    except grpc.RpcError as error:
        silent = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE)
        if error.code() in silent:
            return error.details() or ""
        return Found(Health.SERVING)
    return Found(Health.NOT_SERVING if answer == NOT_SERVING else Health.SERVING)


def _words(silent: dict[Address, str]) -> str:
    """What is said where none answers."""
    from hodei.tls.diagnosis import REFUSED

    if set(silent.values()) <= {"", REFUSED}:
        return f"no server answers at {', '.join(map(str, silent))}: {HINT}"
    if len(silent) == 1:
        return "".join(f"cannot connect to {address}: {words}" for address, words in silent.items())
    each = (f"{address}: {words or 'no answer'}" for address, words in silent.items())
    return "cannot connect to any server: " + "; ".join(each)
