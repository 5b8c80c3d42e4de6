"""Jobs per second of each peer: all are enqueued first, then its worker starts.

A drain begins with the first handler. It ends with the last one's start where a broker keeps no
account of what is done, and when the queue table says that all are done where there is one: a
worker that takes jobs ahead would flatter itself otherwise."""

import contextlib
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg

from bench.peers.catalogue import PEERS, PROGRAMS, Peer, Setting
from bench.peers.services import Service, last_words, service, started
from bench.peers.setup import Tools, Unavailable, cache, prepare

RECORD = struct.Struct("<qq")  # a job's number, and nanoseconds of the machine's monotonic clock
FIRST_S, NEXT_S = 30.0, 20.0  # bounds of the wait for the first handler, and of a standstill


@dataclass
class Drain:
    per_s: float
    cpu_us: float
    pss_mb: float
    enqueued_per_s: float

    def __str__(self) -> str:
        return (
            f"{self.per_s:,.0f}/s, {self.cpu_us:,.0f} µs of processor a job, {self.pss_mb:.0f} MB; "
            f"enqueued {self.enqueued_per_s:,.0f}/s"
        )


def measure(rounds: int, only: list[str]) -> dict[str, Any]:
    """`only`: words of the names "celery+redis default", "celery+redis tuned" …; a peer that fails
    is `skipped` with its reason."""
    tools = prepare(cache())
    result: dict[str, Any] = {}
    skipped: dict[str, str] = {}
    for peer in PEERS:
        chosen = [
            name
            for name in peer.settings
            if not only or any(word in f"{peer.name} {name}" for word in only)
        ]
        if not chosen:
            continue
        try:
            version = _version(peer, tools)
            with service(peer.service, tools) as running, _scratch() as folder:
                rates = _rounds(Runner(peer, tools, running, folder), chosen, rounds, skipped)
                versions = f"{peer.package} {version}, {running.words}"
            result[peer.name] = {
                name: {**_figures(of), "versions": versions, "setting": peer.settings[name].words}
                for name, of in rates.items()
            }
        # Whatever broke a peer is a reason to skip it, and not the others' end.
        except Exception as error:  # noqa: BLE001
            _skip(skipped, peer.name, error)
    return {**{name: figures for name, figures in result.items() if figures}, "skipped": skipped}


class Runner:
    """One peer beside its service."""

    def __init__(self, peer: Peer, tools: Tools, running: Service, folder: Path) -> None:
        self.peer, self._tools, self._service = peer, tools, running
        self._starts = folder / "starts"
        self._log = folder / "log"

    def drained(self, setting: Setting, kind: str, jobs: int) -> Drain:
        self._starts.write_bytes(b"")
        self._log.write_bytes(b"")
        url = self._service.fresh()
        environment = self._environment(setting, url)
        enqueued_per_s = self._enqueue(environment, kind, jobs)
        self._service.settle(url)
        argv = [*self.peer.worker(self._tools), *setting.argv]
        with contextlib.ExitStack() as stack:
            left = self._counter(stack, url)
            worker = stack.enter_context(started(argv, self._log, self._starts.parent, environment))
            stack.callback(_end, worker)
            return self._watch(worker, jobs, left, enqueued_per_s)

    def _environment(self, setting: Setting, url: str) -> dict[str, str]:
        return {
            **os.environ,
            **setting.environment,
            "BENCH_URL": url,
            "BENCH_STARTS": str(self._starts),
            "BENCH_OPTIONS": json.dumps(setting.options),
            "PYTHONPATH": str(PROGRAMS),
            "PYTHONDONTWRITEBYTECODE": "1",
            "NODE_PATH": str(self._tools.modules),
        }

    def _enqueue(self, environment: dict[str, str], kind: str, jobs: int) -> float:
        argv = [*self.peer.enqueue(self._tools), kind, str(jobs)]
        done = subprocess.run(
            argv,
            env=environment,
            cwd=self._starts.parent,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode:
            words = done.stderr.strip().splitlines() or ["it said nothing"]
            raise Unavailable(f"enqueueing failed: {words[-1]}")
        return jobs / float(done.stdout.split()[-1])

    def _counter(self, stack: contextlib.ExitStack, url: str) -> Callable[[], int]:
        if not self.peer.left:
            return lambda: 0
        conn, question = (
            stack.enter_context(psycopg.connect(url, autocommit=True)),
            self.peer.left.encode(),
        )

        def left() -> int:
            (row,) = conn.execute(question).fetchall()
            return int(row[0])

        return left

    def _watch(
        self,
        worker: subprocess.Popen[bytes],
        jobs: int,
        left: Callable[[], int],
        enqueued_per_s: float,
    ) -> Drain:
        self._await(worker, 1, FIRST_S)
        busy, already = _busy_s(), self._count()
        self._await(worker, jobs, NEXT_S)
        deadline = time.monotonic() + NEXT_S
        while left():
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"{left()} of {jobs} jobs are not done {NEXT_S:.0f} s after the last "
                    "has started"
                )
            time.sleep(0.005)
        ended, busy = time.monotonic_ns(), _busy_s() - busy
        pss_mb = sum(_pss(process) for process in _tree(worker)) / 1e6
        begun, last = self._checked(jobs)
        seconds = ((ended if self.peer.left else last) - begun) / 1e9
        return Drain(
            (jobs - (0 if self.peer.left else 1)) / seconds,
            busy / max(1, jobs - already) * 1e6,
            pss_mb,
            enqueued_per_s,
        )

    def _await(self, worker: subprocess.Popen[bytes], jobs: int, patience_s: float) -> None:
        seen, deadline = self._count(), time.monotonic() + patience_s
        while (count := self._count()) < jobs:
            if count > seen:
                seen, deadline = count, time.monotonic() + patience_s
            if worker.poll() is not None:
                raise Unavailable(
                    f"its worker ended after {count} of {jobs} jobs: {last_words(self._log)}"
                )
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"{count} of {jobs} jobs had started, and no other for {patience_s:.0f} s: "
                    f"{last_words(self._log)}"
                )
            time.sleep(0.005)

    def _count(self) -> int:
        return self._starts.stat().st_size // RECORD.size

    def _checked(self, jobs: int) -> tuple[int, int]:
        """First and last start. A job that ran twice, or not at all, makes a figure worthless."""
        records = list(RECORD.iter_unpack(self._starts.read_bytes()))
        if sorted(number for number, _ in records) != list(range(jobs)):
            different = len({number for number, _ in records})
            raise Unavailable(f"{len(records)} starts, {different} different jobs of {jobs}")
        times = [at for _, at in records]
        return min(times), max(times)


def _rounds(
    runner: Runner, names: list[str], rounds: int, skipped: dict[str, str]
) -> dict[str, dict[str, list[Drain]]]:
    """Settings take turns, so that a neighbour's bad minute does not hit one of them alone."""
    peer = runner.peer
    drains: dict[str, dict[str, list[Drain]]] = {name: {"noop": [], "sh": []} for name in names}
    for _ in range(rounds):
        for name in list(drains):
            setting = peer.settings[name]
            try:
                for kind, jobs in (("noop", setting.noop), ("sh", setting.sh)):
                    drain = runner.drained(setting, kind, jobs)
                    drains[name][kind].append(drain)
                    _say(f"{peer.name} {name}, {kind}: {drain}")
            except Exception as error:  # noqa: BLE001  as above: the other setting may still work
                _skip(skipped, f"{peer.name} {name}", error)
                del drains[name]
    return drains


def _figures(drains: dict[str, list[Drain]]) -> dict[str, Any]:
    noop = drains["noop"]
    return {
        **{f"{kind}_per_s": _spread([drain.per_s for drain in of]) for kind, of in drains.items()},
        "enqueued_per_s": _spread([drain.enqueued_per_s for drain in noop]),
        "cpu_us_per_job": round(statistics.median(drain.cpu_us for drain in noop), 1),
        "pss_mb": round(statistics.median(drain.pss_mb for drain in noop), 1),
    }


def _spread(values: list[float]) -> dict[str, float]:
    return {
        "median": round(statistics.median(values), 1),
        "least": round(min(values), 1),
        "most": round(max(values), 1),
    }


def _version(peer: Peer, tools: Tools) -> str:
    """Unavailable, before any server is started for it, when the peer itself is not there."""
    if peer.package == "graphile-worker" and tools["node"]:
        return str(
            json.loads((tools.modules / peer.package / "package.json").read_text())["version"]
        )
    argv = [
        str(tools["python"]),
        "-c",
        f"import importlib.metadata as m; print(m.version({peer.package!r}))",
    ]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.strip()


@contextlib.contextmanager
def _scratch() -> Iterator[Path]:
    """In memory, where there is such a folder: a handler's note of its start must cost nothing."""
    memory = Path("/dev/shm")  # noqa: S108
    folder = Path(tempfile.mkdtemp(prefix="hodei-bench-", dir=memory if memory.is_dir() else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _busy_s() -> float:
    """Of all cores, since the machine started."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


def _tree(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        root = psutil.Process(process.pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _pss(process: psutil.Process) -> float:
    try:
        return float(process.memory_full_info().pss)
    except psutil.NoSuchProcess:
        return 0.0


def _end(worker: subprocess.Popen[bytes]) -> None:
    """At once, with all its children: nothing is left that would need a graceful end."""
    for process in _tree(worker):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _skip(skipped: dict[str, str], name: str, error: Exception) -> None:
    skipped[name] = " ".join(str(error).split()) or type(error).__name__
    _say(f"{name}: skipped, {skipped[name]}")


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
