"""`python -m bench.masking [SECONDS]`: what it costs to mask the values of secrets in a log.

First the search alone, for some kinds of values and of output; then a whole worker process, which
reads 64 MiB of a job's output into its spool, with secrets and without by turns."""

import asyncio
import base64
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hodei_worker.supervisor.executor import Listener, Start
from hodei_worker.supervisor.masking import Masked, Masks
from hodei_worker.supervisor.processes import Processes
from hodei_worker.supervisor.secrets import Values
from hodei_worker.supervisor.spool import Chunk, Spool

READ = 65_536  # bytes, as the supervisor reads a masked pipe
ROUNDS = 5
OUTPUT = 64 << 20
LINE = b"2026-01-31T12:00:00Z INFO  request 4711 of ana took 12 ms, and nothing went wrong\n"


def values() -> Iterator[tuple[str, list[str]]]:
    yield "one token of 40 letters", [base64.b64encode(os.urandom(30)).decode()]
    key = "\n".join(base64.b64encode(os.urandom(48)).decode() for _ in range(50))
    yield "a private key of 50 lines", [key]
    yield "32 tokens", [base64.b64encode(os.urandom(30)).decode() for _ in range(32)]
    yield "64 KiB of one letter", ["x" * 65_536]


def outputs(secret: str) -> Iterator[tuple[str, bytes]]:
    yield "a log", (LINE * (READ // len(LINE) + 1))[:READ]
    yield "base64 of random bytes", base64.b64encode(os.urandom(READ * 3 // 4))
    yield "random bytes", os.urandom(READ)
    yield "nothing but the value", ((secret.encode() + b"\n") * READ)[:READ]


def mb_per_s(work: Callable[[], object], size: int, seconds: float) -> float:
    """Of processor time: other programs of the machine do not count."""
    begun, runs = time.process_time(), 0
    while time.process_time() - begun < seconds:
        work()
        runs += 1
    return runs * size / 1e6 / (time.process_time() - begun)


def search(seconds: float) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for name, some in values():
        masks = Masks(some)
        found[name] = {}
        for what, data in outputs(some[0]):
            one = Masked(masks)
            rate = mb_per_s(lambda one=one, data=data: list(one.feed(data)), READ, seconds)  # type: ignore[misc]
            found[name][what] = round(rate, 1)
    return found


async def _run(secrets: Values, folder: Path) -> float:
    """Returns the seconds of this process's processor for one job."""
    executor, ended = Processes(folder, 0, None), asyncio.Event()
    spool = Spool(folder / "spool")
    text = LINE.decode().rstrip("\n")
    spec = {"command": f"yes '{text}' | head -c {OUTPUT}"}
    start = Start(1, "0" * 36, 1, "", "", 1, spec, secrets=secrets)
    async with asyncio.TaskGroup() as group:
        executor.open(group, print)
        job_spool = spool.of_job(1)

        def stored(chunk: Chunk) -> None:
            job_spool.ack(chunk.seq + 1)

        listener = Listener(stored, _nothing, _nothing, lambda _: ended.set(), lambda _: None)
        begun = time.process_time()
        attempt = executor.attempt(start, job_spool, listener)
        attempt.begin()
        while not ended.is_set():
            attempt.resume()
            await asyncio.sleep(0.01)
        executor.close()
    executor.remove()
    return time.process_time() - begun


def _nothing() -> None:
    """Nobody is told."""


def whole() -> dict[str, float]:
    """MB of output for each second of the worker's processor, the median of ROUNDS."""
    kinds = {"without secrets": Values()} | {
        f"with {name}": Values({str(n): value for n, value in enumerate(some)})
        for name, some in values()
    }
    rates: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(ROUNDS):
        for kind, secrets in kinds.items():
            with tempfile.TemporaryDirectory(prefix="hodei-bench-") as folder:
                took_s = asyncio.run(_run(Values(secrets), Path(folder)))
            rates[kind].append(OUTPUT / 1e6 / took_s)
    return {kind: round(statistics.median(of), 1) for kind, of in rates.items()}


def measure(seconds: float = 0.5) -> dict[str, dict[str, Any]]:
    return {"search_mb_per_s": search(seconds), "worker_mb_per_s": whole()}


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 0.5
    print(json.dumps(measure(seconds), indent=2))


if __name__ == "__main__":
    main()
