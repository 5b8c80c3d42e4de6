"""`python -m bench.containment [SECONDS]`: `sh -c true` through a supervisor of each kind, in
turns, beside the C loop.

Kinds: without cgroups, with them, and with a job user; told are starts per second of eight at a
time, the time of one alone, and the memory (PSS) of a launcher. Other trees may be given by
HODEI_TREES=name:path,…: their supervisors are measured in the same turns.
"""

import asyncio
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import orjson

from hodei_worker.supervisor import wire
from hodei_worker.supervisor.__main__ import socket_in

TREE = Path(__file__).parents[1]
AT_A_TIME = 8
SPEC = orjson.dumps({"command": "true"})


class Driver:
    """An agent that keeps a supervisor busy."""

    def __init__(self, tree: Path, bare: bool, user: str | None) -> None:
        self._state = Path(tempfile.mkdtemp(prefix="hodei-bench-", dir="/tmp"))
        self._state.chmod(0o755)
        supervisor = ("-P", "-m", "hodei_worker.supervisor", str(self._state), "kill", "0")
        command = [sys.executable, *supervisor]
        if bare:
            hide = 'umount /sys/fs/cgroup/unified 2>/dev/null || umount /sys/fs/cgroup; exec "$@"'
            command = ["unshare", "-m", "sh", "-c", hide, "sh", *command]
        environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tree)}
        log = (self._state / "log").open("wb")
        self._process = subprocess.Popen(
            [*command, *([user] if user else [])], env=environment, cwd=tree, stdout=log, stderr=log
        )
        self._lease = 0
        self._began: dict[int, float] = {}
        self.took: list[float] = []

    async def connect(self) -> None:
        self._ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        for _ in range(200):
            with contextlib.suppress(OSError):
                path = str(socket_in(self._state))
                _, self._link = await loop.create_unix_connection(
                    lambda: wire.Connection(self._hear), path
                )
                self._link.send("hello", version=1, keep=False)
                return
            await asyncio.sleep(0.05)
        raise SystemExit(f"no supervisor: {(self._state / 'log').read_text()}")

    def _start(self) -> None:
        self._lease += 1
        self._began[self._lease] = time.perf_counter()
        self._link.send(
            "start",
            SPEC,
            lease=self._lease,
            job_id=f"j{self._lease}",
            attempt=1,
            correlation_id="c",
            actor="a",
        )

    def _hear(self, header: dict[str, Any], _payload: bytes) -> None:
        if header["op"] != "ended":
            return
        lease = header["lease"]
        assert header["result"]["outcome"] == "SUCCEEDED", header  # noqa: S101
        self.took.append(time.perf_counter() - self._began.pop(lease))
        self._link.send("forget", lease=lease)
        if time.perf_counter() < self._until:
            self._start()
        elif not self._began:
            self._ended.set()

    async def rate(self, seconds: float) -> float:
        self.took, self._until = [], time.perf_counter() + seconds
        begun = time.perf_counter()
        self._ended.clear()
        for _ in range(AT_A_TIME):
            self._start()
        await self._ended.wait()
        return len(self.took) / (time.perf_counter() - begun)

    async def alone_ms(self, count: int = 8) -> float:
        self._until, found = 0.0, []
        for _ in range(count):
            await asyncio.sleep(0.2)
            self._ended.clear()
            self._start()
            await self._ended.wait()
            found.append(self.took[-1] * 1000)
        return statistics.median(found)

    def cpu_s(self) -> float:
        """Of the supervisor, its launchers, and all jobs that they have waited for."""
        ticks = 0
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                told = (entry / "stat").read_bytes().rpartition(b")")[2].split()
                launcher = b"launcher.py" in (entry / "cmdline").read_bytes()
                if self._process.pid == (int(told[1]) if launcher else int(entry.name)):
                    ticks += sum(map(int, told[11:15]))
        return ticks / os.sysconf("SC_CLK_TCK")

    def launcher_kib(self) -> float:
        """PSS of one; 0 where there are none."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (entry / "cmdline").read_bytes()
                parent = (entry / "stat").read_bytes().rpartition(b")")[2].split()[1]
                if b"launcher.py" in words and int(parent) == self._process.pid:
                    rollup = (entry / "smaps_rollup").read_text()
                    found.append(float(rollup.partition("Pss:")[2].split()[0]))
        return statistics.mean(found) if found else 0.0

    async def close(self) -> None:
        self._link.send("exit")
        await asyncio.sleep(0.1)
        self._link.close()
        self._process.wait(10)
        shutil.rmtree(self._state, ignore_errors=True)


def loop_rate(seconds: float) -> float:
    with tempfile.TemporaryDirectory() as folder:
        program = f"{folder}/spawn"
        subprocess.run(["cc", "-O2", "-o", program, TREE / "bench/spawn.c"], check=True)
        done = subprocess.run(
            [program, str(seconds), "/bin/sh", "-c", "true"], check=True, capture_output=True
        )
        return float(done.stdout)


async def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
    kinds: list[tuple[str, Path, bool, str | None]]
    kinds = [("no cgroup", TREE, True, None), ("cgroup", TREE, False, None)]
    kinds.append(("cgroup, job user", TREE, False, "nobody"))
    for given in filter(None, os.environ.get("HODEI_TREES", "").split(",")):
        name, _, path = given.partition(":")
        kinds.append((name, Path(path), False, None))
    drivers = {name: Driver(tree, bare, user) for name, tree, bare, user in kinds}
    for driver in drivers.values():
        await driver.connect()
        await driver.rate(0.5)
    rates: dict[str, list[float]] = {name: [] for name in (*drivers, "C loop")}
    costs: dict[str, list[float]] = {name: [] for name in drivers}
    for _ in range(6):
        for name, driver in drivers.items():
            before = driver.cpu_s()
            rates[name].append(await driver.rate(seconds))
            costs[name].append((driver.cpu_s() - before) / len(driver.took) * 1000)
        rates["C loop"].append(loop_rate(seconds))
    for name, found in rates.items():
        cost = f"  {statistics.median(costs[name]):5.2f} ms of a core each" if name in costs else ""
        spread = f"({min(found):.0f} to {max(found):.0f})"
        print(f"{name:20} {statistics.median(found):8.0f}/s  {spread}{cost}")
    for name, driver in drivers.items():
        alone, memory = await driver.alone_ms(), driver.launcher_kib()
        print(f"{name:20} alone {alone:6.1f} ms   a launcher {memory:6.0f} KiB")
        await driver.close()


if __name__ == "__main__":
    asyncio.run(main())
