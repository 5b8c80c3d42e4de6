"""`python -m bench.containers`: a container job beside the same container made by hand, and the memory
of a worker whose containers write much. It needs a Docker Engine with an image that has `sh`, `date`,
`head`, `sleep`, `true` and `yes`, as busybox.

By hand: create, start, wait and remove by the client that the worker uses. Both take turns, so that
the engine is as warm and the machine as busy for both."""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from bench.memory import most_resident
from bench.system import QUIET, System, system
from hodei.client import Hodei
from hodei.local.stack import mint_token
from hodei_worker.containers import create
from hodei_worker.containers.allowed import Allowed
from hodei_worker.containers.create import Program
from hodei_worker.containers.engine import Engine
from hodei_worker.containers.settings import DEFAULT_SOCKET
from hodei_worker.supervisor.executor import Start
from verify.checker import violations

UNCOUNTED = 5
"""The first ones open connections and fill caches."""

WRITERS, MB_PER_S = 16, 10
WRITE_S = 20.0

WRITES = """
end=$(($(date +%s) + {seconds}))
while [ $(date +%s) -lt $end ]; do
    yes 'a line of a log that has about as many characters as such a line usually has' | head -c 1000000
    sleep {pause}
done
"""
"""A megabyte at a time."""

LOG_LIMIT = 10_000_000
"""Bytes that are kept of each log: all that is written has to be read, and PostgreSQL is not what
is measured."""


class Place(NamedTuple):
    """Where the containers are."""

    socket: str  # of the engine
    image: str

    def spec(self, command: str | list[str], **more: Any) -> dict[str, Any]:
        keys = {"image": self.image, "network": "none", "pull": "never", "command": command}
        return keys | more


async def _by_hand(engine: Engine, number: int, place: Place, image_id: str) -> float:
    """Returns the seconds of one container, with what the executor asks for."""
    start = Start(number, f"bench-{number}", 1, "", "", 0, place.spec(["true"]))
    program = Program(start.spec, {})
    body = create.body(start, program, image_id, Allowed([], [], [], ""), "bench", {})
    name = f"hodei-bench-{number}"
    begun = time.perf_counter()
    await engine.call("POST", "/containers/create", body, {"name": name})
    await engine.call("POST", f"/containers/{name}/start")
    code = await engine.wait(name)
    assert code == 0, code  # noqa: S101
    await engine.call("DELETE", f"/containers/{name}", query={"force": "1", "v": "1"})
    return time.perf_counter() - begun


async def _in_turns(place: Place, count: int, job: Callable[[], float]) -> dict[str, list[float]]:
    engine = Engine(place.socket)
    engine.open()
    await engine.negotiate()
    image_id = (await engine.json("GET", f"/images/{place.image}/json"))["Id"]
    found: dict[str, list[float]] = {"by hand": [], "job": []}
    for number in range(count + UNCOUNTED):
        by_hand = await _by_hand(engine, number, place, image_id)
        as_job = await asyncio.to_thread(job)
        if number >= UNCOUNTED:
            found["by hand"].append(by_hand)
            found["job"].append(as_job)
    await engine.close()
    return found


def _latency(client: Hodei, place: Place, count: int) -> dict[str, float]:
    def job() -> float:
        begun = time.perf_counter()
        ended = client.wait(client.submit(place.spec(["true"])))
        assert ended.state == "SUCCEEDED", ended  # noqa: S101
        return time.perf_counter() - begun

    found = asyncio.run(_in_turns(place, count, job))
    medians = {f"{name} ms": statistics.median(took) * 1e3 for name, took in found.items()}
    figures = medians | {"ratio": medians["job ms"] / medians["by hand ms"]}
    return {name: round(value, 2) for name, value in figures.items()}


def _processes(folder: Path, agent: int) -> dict[str, int]:
    """The agent and everything of it that handles jobs: its supervisor, launchers, and containers."""
    found = {"agent": agent}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes()
        except OSError:
            continue
        for kind in (b"hodei_worker.supervisor", b"hodei_worker.containers", b"launcher.py"):
            if kind in words and str(folder).encode() in words:
                found[f"{kind.decode()} {entry.name}"] = int(entry.name)
    return found


def _memory(client: Hodei, place: Place, under_test: System, agent: int) -> dict[str, Any]:
    # `date` and `yes` of the image cost some of the pause
    script = WRITES.format(seconds=int(WRITE_S), pause=1 / MB_PER_S / 2)
    client.wait(client.submit(place.spec(["true"])))  # all processes are there now
    with most_resident(_processes(under_test.folder / "w", agent)) as most:
        jobs = [client.submit(place.spec(script, log_limit=LOG_LIMIT)) for _ in range(WRITERS)]
        ended = [client.wait(job_id) for job_id in jobs]
    written = sum(job.log_bytes + job.log_dropped_bytes for job in ended)
    return {
        "mb": most,
        "together mb": round(sum(one["pss_mb"] for one in most.values()), 1),
        "each wrote mb/s": round(written / 1e6 / WRITE_S / WRITERS, 2),
        "succeeded": sum(job.state == "SUCCEEDED" for job in ended),
    }


def measure(place: Place, count: int = 50) -> dict[str, Any]:
    with system(servers=1) as under_test, Hodei(under_test.servers) as client:
        flags = ["--executor", "process", "--executor", "docker", "--docker-socket", place.socket]
        worker = under_test.stack.worker(
            "worker",
            under_test.servers[0],
            under_test.folder / "w",
            mint_token(under_test.url),
            *flags,
            "--slots",
            str(WRITERS),
            environment=QUIET,
        )
        figures: dict[str, Any] = {"latency": _latency(client, place, count)}
        print(f"latency: {figures['latency']}", file=sys.stderr, flush=True)
        figures["memory"] = _memory(client, place, under_test, worker.process.pid)
        print(f"memory: {figures['memory']}", file=sys.stderr, flush=True)
        with psycopg.connect(under_test.url, autocommit=True) as conn:
            return figures | {"jobs": count, "violations": violations(conn)}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.containers",
        description="Container jobs beside containers that are made by hand.",
    )
    parser.add_argument("--jobs", type=int, default=50)
    parser.add_argument("--docker-socket", default=DEFAULT_SOCKET)
    parser.add_argument("--image", default="busybox")
    given = parser.parse_args()
    place = Place(given.docker_socket, given.image)
    print(json.dumps(measure(place, given.jobs), indent=2))


if __name__ == "__main__":
    main()
