"""A worker with a credential of its own that lies: bursts of frames about leases of others and of
nobody, and frames that are none."""

import contextlib
import random
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import grpc

from hodei.protocol import hodei_pb2 as pb
from tests.hostile.worker import HostileWorker

HUGE = (1 << 64) - 1
Guesses = Sequence[tuple[int, str]]
"""Lease and job of others, those that hold among them."""


def results(dice: random.Random, guesses: Guesses) -> dict[str, Any]:
    outcome = dice.choice([pb.SUCCEEDED, pb.FAILED, pb.CANCELLED, pb.LOST])
    reason = "EXIT_NONZERO" if outcome == pb.FAILED else ""
    return {
        "results": [
            pb.Result(lease=lease, outcome=outcome, reason=reason, exit_code=0)
            for lease, _ in guesses
        ]
    }


def late_results(dice: random.Random, guesses: Guesses) -> dict[str, Any]:
    return {
        "results": [
            pb.Result(lease=lease, outcome=pb.SUCCEEDED, late_job_id=job) for lease, job in guesses
        ]
    }


def accepts(dice: random.Random, guesses: Guesses) -> dict[str, Any]:
    return {
        "accepts": [pb.Accept(lease=lease) for lease, _ in guesses],
        "started": [lease for lease, _ in guesses],
    }


def rejects(dice: random.Random, guesses: Guesses) -> dict[str, Any]:
    return {"rejects": [pb.Reject(lease=lease, reason="no free slot") for lease, _ in guesses]}


def stops(dice: random.Random, guesses: Guesses) -> dict[str, Any]:
    leases = [lease for lease, _ in guesses]
    return {"stopping": [pb.Stopping(lease=lease) for lease in leases], "cancels_received": leases}


def logs(dice: random.Random, guesses: Guesses) -> dict[str, Any]:
    """Of the sequence numbers that may come next, so that one of them could be taken."""
    seq = dice.randrange(20)
    return {
        "logs": [
            pb.LogChunk(lease=lease, seq=seq, stream=pb.STDOUT, data=b"FORGED by evil\n")
            for lease, _ in guesses
        ]
    }


def late_logs(dice: random.Random, guesses: Guesses) -> dict[str, Any]:
    lease, job = dice.choice(guesses)
    return {
        "logs": [
            pb.LogChunk(lease=lease, seq=n, stream=pb.STDOUT, data=b"FORGED", late_job_id=job)
            for n in range(50)
        ]
    }


def heartbeat(dice: random.Random, guesses: Guesses) -> dict[str, Any]:
    """As if it held what others hold, or have forgotten."""
    phase = dice.choice([pb.Held.WAITING, pb.Held.RUNNING, pb.Held.ENDED])
    return {
        "heartbeat": pb.Heartbeat(
            held=[pb.Held(lease=lease, phase=phase, job_id=job) for lease, job in guesses]
        )
    }


def no_numbers(dice: random.Random, guesses: Guesses) -> dict[str, Any]:
    return dice.choice(
        [
            {"heartbeat": pb.Heartbeat(held=[pb.Held(lease=HUGE)])},
            {"heartbeat": pb.Heartbeat(busy_slots=(1 << 32) - 1)},
            {"results": [pb.Result(lease=HUGE, outcome=pb.SUCCEEDED)]},
            {"accepts": [pb.Accept(lease=1 << 63)]},
            {
                "logs": [
                    pb.LogChunk(
                        lease=1, seq=HUGE, stream=pb.STDOUT, read_unix_us=-(1 << 63), data=b"x"
                    )
                ]
            },
        ]
    )


def no_words(dice: random.Random, guesses: Guesses) -> dict[str, Any]:
    lease = dice.choice(guesses)[0]
    return dice.choice(
        [
            {"rejects": [pb.Reject(lease=lease, reason="a\0b")]},
            {"rejects": [pb.Reject(lease=lease, reason="x" * 1_000_000)]},
            {
                "results": [
                    pb.Result(
                        lease=lease,
                        outcome=pb.FAILED,
                        reason="TIME\0OUT",
                        message="\0\x1b[2J\nforged",
                    )
                ]
            },
            {"results": [pb.Result(lease=lease, outcome=pb.SUCCEEDED, late_job_id="no uuid")]},
        ]
    )


def huge(dice: random.Random, guesses: Guesses) -> dict[str, Any]:
    if dice.random() < 0.5:  # over the 4 MiB of a message
        return {"logs": [pb.LogChunk(lease=guesses[0][0], stream=pb.STDOUT, data=b"x" * 5_000_000)]}
    return {"results": [pb.Result(lease=n, outcome=pb.SUCCEEDED) for n in range(1, 100_000)]}


def second_hello(dice: random.Random, guesses: Guesses) -> dict[str, Any]:
    return {
        "hello": pb.Hello(
            protocol_min=1, protocol_max=1, instance=str(uuid.uuid4()), name="evil", slots=1
        )
    }


FRAMES = (
    results,
    results,
    late_results,
    accepts,
    rejects,
    stops,
    logs,
    logs,
    late_logs,
    heartbeat,
    heartbeat,
    no_numbers,
    no_words,
    huge,
    second_hello,
)

HELLOS: tuple[Callable[[Guesses], dict[str, Any]], ...] = (
    lambda _guesses: {},
    lambda _guesses: {},
    lambda guesses: {
        "held": [pb.Held(lease=lease, phase=pb.Held.RUNNING, job_id=job) for lease, job in guesses]
    },
    lambda _guesses: {"labels": {f"l{n}": "x" * 255 for n in range(12_000)}},
    lambda _guesses: {"labels": {"a": "x\0y"}, "name": "evil\x1b[2J"},
    lambda _guesses: {"slots": (1 << 32) - 1},
    lambda _guesses: {"instance": "no uuid"},
)


def burst(dice: random.Random, address: str, token: str, guesses: Guesses, seconds: float) -> str:
    """Registers, connects and floods; connects again whenever it is thrown out. The id that it
    had."""
    worker = HostileWorker(address, token)
    end = time.monotonic() + seconds
    with contextlib.suppress(grpc.RpcError), worker:
        while time.monotonic() < end:
            frame = dice.choice(FRAMES)
            for _ in range(1 if frame in (huge, no_words) else dice.choice([1, 5, 50])):
                worker.send(**frame(dice, guesses))
            if worker.ended.wait(0.1) or dice.random() < 0.2:
                _again(dice, worker, guesses)
    return worker.id


def _again(dice: random.Random, worker: HostileWorker, guesses: Guesses) -> None:
    """Leaves in the middle, and comes again: with a hello, with another's, with none, or to leave
    at once."""
    worker.call.cancel()
    for _ in range(dice.choice([0, 0, 20])):
        worker.connect()
        worker.call.cancel()
    worker.connect(silent=dice.random() < 0.2, **dice.choice(HELLOS)(guesses))
