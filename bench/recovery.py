"""`tools/recovery`: kills one thing at a time under a running job, and says how long it took until
all was well again (medians)."""

import argparse
import json
import os
import signal
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg

from bench.system import TELLING, System, system
from hodei.local.stack import Part, mint_token
from verify.checker import violations
from verify.fault_proxy import FaultProxy


class Scene:
    """Two servers behind proxies, two workers, a job that runs for long on one of them."""

    def __init__(self, under_test: System) -> None:
        self._system = under_test
        self._stack = under_test.stack
        self.links = [FaultProxy(address).__enter__() for address in under_test.servers]
        self.workers: dict[str, Part] = {}
        self.conn = psycopg.connect(under_test.url, autocommit=True)
        for name in ("a", "b"):
            self.worker(name, mint_token(under_test.url))

    def worker(self, name: str, token: str | None = None) -> None:
        flags = ["--on-worker-exit", "keep", "--label", f"name={name}"]
        servers = ",".join(link.address for link in self.links)
        log_name = f"worker-{name}-{time.monotonic_ns()}"
        self.workers[name] = self._stack.worker(
            log_name, servers, self._system.folder / name, token, *flags
        )

    def job(self, command: str, **spec: object) -> str:
        ((job_id,),) = self.conn.execute(
            "SELECT hodei_enqueue(%s::jsonb)::text", [json.dumps({"command": command, **spec})]
        ).fetchall()
        return str(job_id)

    def one(self, statement: str, *parameters: object) -> Any:
        row = self.conn.execute(statement.encode(), parameters or None).fetchone()
        return row[0] if row else None

    def until(self, ask: Callable[[], object], most_s: float = 180) -> float:
        """Seconds from now."""
        begun = time.monotonic()
        while not ask():
            if time.monotonic() - begun > most_s:
                raise SystemExit("it did not recover")
            time.sleep(0.005)
        return time.monotonic() - begun

    def attempts(self, job_id: str) -> int:
        return int(self.one("SELECT attempts FROM jobs WHERE id = %s", job_id))

    def log_bytes(self, job_id: str) -> int:
        return int(
            self.one(
                "SELECT coalesce(sum(octet_length(data)), 0) FROM job_logs WHERE job_id = %s",
                job_id,
            )
        )

    def chatty(self) -> str:
        """Runs on worker a, and writes each 20 ms."""
        job_id = self.job("while :; do echo x; sleep 0.02; done", labels={"name": "a"})
        self.until(lambda: self.log_bytes(job_id) > 10)
        return job_id

    def cancel(self, job_id: str) -> None:
        for server in self._system.servers:
            part = self._stack.start(
                "cancel", ["hodei.cli.main", "--server", server, "job", "cancel", job_id]
            )
            if part.process.wait(30) == 0:
                break
        self.until(
            lambda: self.one("SELECT completed_at IS NOT NULL FROM jobs WHERE id = %s", job_id)
        )

    def new_log(self, job_id: str) -> float:
        """Until a chunk that the worker read after now is stored."""
        now = time.time()
        newest = """
            SELECT coalesce(extract(epoch FROM max(read_at)), 0)::float8
            FROM job_logs
            WHERE job_id = %s
        """
        return self.until(lambda: self.one(newest, job_id) > now)

    # ── what dies ──

    def server_killed(self) -> float:
        job_id = self.chatty()
        number = self.server_of_a()
        part = self._stack.parts[number]
        part.process.kill()
        part.process.wait()
        took = self.new_log(job_id)
        port = int(self._system.servers[number].rsplit(":")[-1])
        self._stack.server(
            f"server-{number}-{time.monotonic_ns()}", self._system.url, port, environment=TELLING
        )
        self._stack.parts.insert(number, self._stack.parts.pop())
        self._stack.parts.remove(part)
        self.cancel(job_id)
        return took

    def server_of_a(self) -> int:
        """By the servers' own logs: the one that took its newest stream."""
        me = self.one("SELECT id::text FROM workers WHERE labels ->> 'name' = 'a'")
        lines = [
            (line[:30], n)
            for n, part in enumerate(self._stack.parts[:2])
            for line in part.log.read_text().splitlines()
            if "worker connected" in line and str(me) in line
        ]
        return max(lines)[1]

    def link_stalled(self) -> float:
        job_id = self.chatty()
        link = self.links[self.server_of_a()]
        link.stall()
        took = self.new_log(job_id)
        link.heal()
        self.cancel(job_id)
        return took

    def agent_killed(self) -> float:
        job_id = self.chatty()
        part = self.workers["a"]
        part.process.kill()
        part.process.wait()
        self._stack.parts.remove(part)
        begun = time.monotonic()
        self.worker("a")
        self.new_log(job_id)
        took = time.monotonic() - begun
        self.cancel(job_id)
        return took

    def supervisor_killed(self) -> float:
        job_id = self.chatty()
        os.kill(self.supervisor("a"), signal.SIGKILL)
        took = self.until(lambda: self.attempts(job_id) == 2)
        self.cancel(job_id)
        return took

    def supervisor(self, name: str) -> int:
        for entry in Path("/proc").iterdir():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if (
                b"hodei_worker.supervisor" in words
                and str(self._system.folder / name).encode() in words
            ):
                return int(entry.name)
        raise SystemExit("no supervisor")

    def host_killed(self) -> float:
        """Agent, supervisor and job at once; the other worker may take it."""
        job_id = self.job("exec sleep 600")
        self.until(lambda: self.attempts(job_id) == 1)
        name = self.one(
            """
            SELECT w.labels ->> 'name'
            FROM jobs j
            JOIN workers w ON w.id = j.worker_id
            WHERE j.id = %s
            """,
            job_id,
        )
        part = self.workers[name]
        supervisor = self.supervisor(name)
        part.process.kill()
        part.process.wait()
        self._stack.parts.remove(part)
        os.kill(supervisor, signal.SIGKILL)
        took = self.until(lambda: self.attempts(job_id) == 2)
        self.worker(name)
        self.cancel(job_id)
        return took

    def database_restarted(self) -> float:
        job_id = self.chatty()
        self.conn.close()
        self._system.database.stop()
        self._system.database.start()
        begun = time.monotonic()
        self.conn = psycopg.connect(self._system.url, autocommit=True)
        done = self.job("true")
        self.until(lambda: self.one("SELECT state = 'SUCCEEDED' FROM jobs WHERE id = %s", done))
        took = time.monotonic() - begun
        self.cancel(job_id)
        return took


SCENES = (
    "server_killed",
    "link_stalled",
    "agent_killed",
    "supervisor_killed",
    "database_restarted",
    "host_killed",
)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tools/recovery",
        description="How long it takes until all is well again after one thing dies.",
    )
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with system(servers=2, environment=TELLING) as under_test:
        scene = Scene(under_test)
        took: dict[str, list[float]] = {}
        for name in SCENES:
            for _ in range(1 if name == "host_killed" else given.rounds):
                took.setdefault(name, []).append(round(getattr(scene, name)(), 3))
            print(name, took[name], file=sys.stderr, flush=True)
        found = violations(scene.conn)
    print(
        json.dumps(
            {
                "seconds": {n: {"median": statistics.median(t), "all": t} for n, t in took.items()},
                "violations": found,
            },
            indent=2,
        )
    )
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
