"""Attacks a real system at random from a printed seed, waits until it is at rest, and has it judged. `bin/chaos --minutes N --seed S`.

Two servers, two workers that keep their jobs. Faults: kill -9 and SIGTERM of servers, kill -9 of workers, SIGSTOP of anything, database
sessions terminated, cancels.
"""

import argparse
import json
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

from hodei.local.embedded_postgres import EmbeddedPostgres
from hodei.local.stack import Part
from tests.chaos.checker import violations
from tests.running import Hodei, start

LINES = 5
EXPECTED = b"".join(b"line %d\n" % n for n in range(1, LINES + 1))
REST_S = 180.0
"""For all jobs to end after the last fault: lost-after (60 s) and a rerun, twice."""


class Chaos:
    def __init__(self, hodei: Hodei, folder: Path, seed: int) -> None:
        self._hodei = hodei
        self._folder = folder
        self._dice = random.Random(seed)
        self._ports = [int(address.rsplit(":")[-1]) for address in hodei.addresses]
        self._servers = dict(enumerate(hodei.stack.parts))
        self._workers = {number: self._worker(number, hodei.token()) for number in (0, 1)}
        self.trace = folder / "trace"
        self.faults: Counter[str] = Counter()
        self.jobs = 0

    def run(self, seconds: float) -> None:
        faults = (
            self._server_killed,
            self._server_killed,
            self._server_stopped,
            self._worker_killed,
            self._frozen,
            self._cancel,
            self._sessions,
        )
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for _ in range(self._dice.randrange(1, 6)):
                self._enqueue()
            time.sleep(self._dice.uniform(0.2, 1.5))
            fault = self._dice.choice(faults)
            fault()
            self.faults[fault.__name__.strip("_")] += 1

    def await_rest(self) -> list[str]:
        """What has not ended in time is a violation."""
        deadline = time.monotonic() + REST_S
        while left := self._hodei.sql("SELECT id::text, state FROM jobs WHERE completed_at IS NULL LIMIT 10"):
            if time.monotonic() > deadline:
                return [f"{job_id}: still {state} after {REST_S:g} s of rest" for job_id, state in left]
            time.sleep(0.3)
        return []

    def starts(self) -> list[tuple[str, str]]:
        lines = self.trace.read_text().splitlines() if self.trace.exists() else []
        return [(line.split()[0], line.split()[1]) for line in lines]

    # ── work ──

    def _enqueue(self) -> None:
        pause = self._dice.choice([0.05, 0.2, 1, 2]) / LINES
        loop = f"n=0; while [ $n -lt {LINES} ]; do n=$((n + 1)); echo line $n; sleep {pause}; done"
        command = f"echo $HODEI_JOB_ID $HODEI_LEASE >>{self.trace}; {loop}; exit {self._dice.choice([0, 0, 0, 3])}"
        spec = json.dumps({"command": command, "retries": self._dice.choice([0, 0, 1])})
        self._hodei.sql("SELECT hodei_enqueue(%s::jsonb)", spec)
        self.jobs += 1

    def _worker(self, number: int, token: str | None) -> Part:
        servers = ",".join(self._dice.sample(self._hodei.addresses, 2))
        name = f"worker-{number}-{time.monotonic_ns()}"
        return self._hodei.stack.worker(name, servers, self._folder / f"w{number}", token, "--on-worker-exit", "keep")

    # ── faults ──

    def _server_killed(self) -> None:
        self._replace_server(signal.SIGKILL)

    def _server_stopped(self) -> None:
        self._replace_server(signal.SIGTERM)

    def _replace_server(self, number: signal.Signals) -> None:
        which = self._dice.choice((0, 1))
        self._end(self._servers[which], number)
        self._hodei.stack.server(f"server-{which}-{time.monotonic_ns()}", self._hodei.url, self._ports[which])
        self._servers[which] = self._hodei.stack.parts[-1]

    def _worker_killed(self) -> None:
        which = self._dice.choice((0, 1))
        self._end(self._workers[which], signal.SIGKILL)
        self._workers[which] = self._worker(which, None)

    def _end(self, part: Part, number: signal.Signals) -> None:
        part.process.send_signal(number)
        part.process.wait()
        self._hodei.stack.parts.remove(part)

    def _frozen(self) -> None:
        part = self._dice.choice([*self._servers.values(), *self._workers.values()])
        part.process.send_signal(signal.SIGSTOP)
        time.sleep(self._dice.uniform(0.5, 4))
        part.process.send_signal(signal.SIGCONT)

    def _cancel(self) -> None:
        for (job_id,) in self._hodei.sql("SELECT id::text FROM jobs WHERE completed_at IS NULL ORDER BY random() LIMIT 1"):
            self._hodei.run("job", "cancel", job_id)

    def _sessions(self) -> None:
        self._hodei.sql(
            "SELECT pg_terminate_backend(pid) FROM (SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'hodei-server%%' "
            "AND datname = current_database() ORDER BY random() LIMIT %s) victims",
            2,
        )


def attack(seconds: float, seed: int) -> list[str]:
    """Prints figures, returns violations."""
    base = Path(tempfile.mkdtemp(prefix="hodei-chaos-"))
    base.chmod(0o755)
    try:
        with EmbeddedPostgres(base / "postgres", durable=False) as database:
            url = urlsplit(database.dsn())
            server = SimpleNamespace(user=url.username, password=unquote(url.password or ""), host=url.hostname, port=url.port)
            hodei = start(server, base)
            try:
                chaos = Chaos(hodei, base, seed)
                chaos.run(seconds)
                found = chaos.await_rest() + violations(hodei.conn, chaos.starts(), EXPECTED)
                states = hodei.sql("SELECT state, coalesce(reason, ''), count(*) FROM jobs GROUP BY 1, 2 ORDER BY 1, 2")
                print(f"seed {seed}: {chaos.jobs} jobs, {chaos.faults.total()} faults {dict(chaos.faults)}, {len(found)} violations")
                print("  ".join(f"{state} {reason} {count}".replace("  ", " ") for state, reason, count in states))
            finally:
                hodei.stack.stop()
                hodei.conn.close()
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="bin/chaos", description="Attack a real system at random, then judge it.")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=None, help="of an earlier run, to repeat its faults")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}", flush=True)
    found = attack(given.minutes * 60, seed)
    for violation in found:
        print(f"VIOLATION {violation}", file=sys.stderr)
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
