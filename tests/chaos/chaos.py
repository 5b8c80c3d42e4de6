"""Attacks a real system at random from a printed seed, waits until it is at rest, and has it
judged (attack.py).

Two servers, two workers that keep their jobs, a durable PostgreSQL, and a proxy on every way
between them; a worker that lies, hands that spoil rows, and jobs that escape, fill, fork, rename
and kill. See docs/reliability.md."""

import contextlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tests.chaos.contained import PART, Contained
from tests.chaos.faults import Faults
from tests.chaos.poison import Poison
from tests.chaos.system import LABELS
from tests.chaos.wild import Wild, marked
from tests.conftest import Connection
from verify.checker import orphans, traces_in, violations

REST_S = 240.0
"""For all jobs to end after the last fault: lost-after (60 s) and a rerun, thrice."""

WILD = 0.25
"""Of all jobs."""

JOB = """
T={folder}/$HODEI_JOB_ID.$HODEI_LEASE
echo start >>$T
n=0
while [ $n -lt {lines} ]; do
    n=$((n + 1))
    echo "line $n {padding}"
    echo "line $n {padding}" >>$T
    sleep {pause}
done
exit {code}
"""


class Chaos(Faults):
    def __init__(
        self,
        folder: Path,
        seed: int,
        *,
        pgbouncer: bool = False,
        other_tree: Path | None = None,
        tame: bool = False,
        docker: bool = False,
    ) -> None:
        super().__init__(folder, seed, pgbouncer=pgbouncer, other_tree=other_tree)
        self.trace = folder / "trace"
        self.trace.mkdir()
        self.faults: Counter[str] = Counter()
        self.jobs = 0
        self.poison = Poison(self._dice, self.connect, LABELS)
        self._wild_part = 0.0 if tame else WILD
        self.wild = Wild(self._dice, self.trace)
        self.left: list[str] = []  # processes of jobs, at rest
        self.contained = Contained(self._dice, folder, self.trace) if docker else None
        if self.contained:
            self._worker_flags = self.contained.flags

    @contextlib.contextmanager
    def started(self) -> Iterator[None]:
        """The system, behind the engine if there is one."""
        engine = self.contained.engine() if self.contained else contextlib.nullcontext()
        with engine, self.system():
            yield

    def run(self, seconds: float, at_least: int = 0, only: Sequence[str] = ()) -> None:
        """For this long, and until there were that many faults."""
        faults = [fault for fault in self._all_faults() if not only or _name(fault) in only]
        end = time.monotonic() + seconds
        while time.monotonic() < end or self.faults.total() < at_least:
            for _ in range(self._dice.randrange(1, 6)):
                self._enqueue()
            time.sleep(self._dice.uniform(0.1, 1.0))
            fault = self._dice.choice(faults)
            fault()
            self.faults[_name(fault)] += 1
        self._heal()
        self.poison.end()

    def _all_faults(self) -> tuple[Callable[[], None], ...]:
        """One that stands twice comes twice as often."""
        return (
            self._server_killed,
            self._server_killed,
            self._server_deployed,
            self._worker_killed,
            self._worker_killed,
            self._worker_upgraded,
            self._supervisor_killed,
            self._frozen,
            self._cancelled,
            self._cancelled,
            self._sessions_terminated,
            self._sessions_terminated,
            self._worker_cut,
            self._worker_cut,
            self._worker_stalled,
            self._worker_half_open,
            self._worker_trickled,
            self._database_cut,
            self._database_stalled,
            self._database_restarted,
            self._database_crashed,
            self._lied_to,
            self._lied_to,
            self.poison.poisoned_waiting,
            self.poison.poisoned_waiting,
            self.poison.poisoned_waiting,
            self.poison.poisoned_running,
            self.poison.poisoned_running,
            self.poison.odd_spec,
            self.poison.unqueued,
            self.poison.row_locked,
            *(self.contained.faults() if self.contained else ()),
        )

    def judge(self) -> list[str]:
        """Waits for the end of every job, and then for the end of every process; what has not ended
        in time is a violation."""
        with self.connect() as conn:
            deadline = time.monotonic() + REST_S
            self._cancel_waiting(conn)
            while left := conn.execute(
                "SELECT id::text, state FROM jobs WHERE completed_at IS NULL LIMIT 10"
            ).fetchall():
                if time.monotonic() > deadline:
                    return [
                        f"{job_id}: still {state} after {REST_S:g} s of rest{self._how(job_id)}"
                        for job_id, state in left
                    ]
                time.sleep(0.3)
            jobs = {row[0] for row in conn.execute("SELECT id::text FROM jobs")}
            deadline = time.monotonic() + 15
            while (living := self._living(jobs)) and time.monotonic() < deadline:
                time.sleep(0.2)  # one that was refused is being killed
            found_faults = self._faults_of_servers()
            deadlocks = (
                (self._database.base / "postgres.log").read_text().count("deadlock detected")
            )
            self.left = living
            found = living + violations(
                conn,
                traces_in(self.trace),
                poisoned=self.poison.jobs,
                evil=self.evil,
                supervisors_die=self.faults["supervisor_killed"] > 0,
            )
            found += self.wild.violations(conn)
            if self.contained:
                found = [one for one in found if not self.contained.forgiven(one, self.faults)]
                found += self.contained.violations()
            return found + found_faults + ([f"{deadlocks} deadlocks"] if deadlocks else [])

    def _living(self, jobs: set[str]) -> list[str]:
        """Whatever a job has started, and left."""
        return orphans(jobs) + marked(self.wild.mark)

    def _faults_of_servers(self) -> list[str]:
        """Whatever a fault or a lie brings about has an answer of its own: none is INTERNAL."""
        times = {
            log.stem: log.read_text(errors="replace").count("by a fault of the server")
            for log in (self._folder / "logs").glob("server-*.log")
        }
        return [
            f"{server}: {count} calls failed by a fault of the server"
            for server, count in times.items()
            if count
        ]

    def _cancel_waiting(self, conn: Connection) -> None:
        """By a person's hand: what waits for ever as it says. Whatever else is poisoned has to end
        by itself."""
        for (job_id,) in conn.execute(
            "SELECT id::text FROM jobs WHERE completed_at IS NULL"
        ).fetchall():
            if job_id in self.poison.waiting:
                self._cancel(job_id, self._dice.choice((0, 1)))

    def _how(self, job_id: str) -> str:
        return f" (poisoned: {self.poison.jobs[job_id]})" if job_id in self.poison.jobs else ""

    # ── work ──

    def _enqueue(self) -> None:
        if self._dice.random() < self._wild_part:
            kind, spec = self.wild.spec()
            self.wild.jobs[self._create(spec)] = kind
            return
        spec = self._tame()
        job_id = self._create(spec)
        if self.contained and "image" in spec:
            self.contained.jobs.add(job_id)

    def _tame(self) -> dict[str, Any]:
        lines, pause = self._dice.choice([(5, 0.02), (5, 0.1), (20, 0.1), (10, 0.5)])
        padding = "x" * self._dice.choice([0, 0, 0, 3000])
        command = JOB.format(
            folder=self.trace,
            lines=lines,
            pause=pause,
            padding=padding,
            code=self._dice.choice([0, 0, 0, 3]),
        )
        spec: dict[str, Any] = {"script": command}
        if self.contained and self._dice.random() < PART:
            spec = self.contained.spec(command)
        return spec | {"retries": self._dice.choice([0, 0, 1])}

    def _create(self, spec: dict[str, Any]) -> str:
        whole = json.dumps(spec | {"labels": LABELS})
        with self.connect() as conn:
            row = conn.execute("SELECT hodei_enqueue(%s::jsonb)::text", [whole]).fetchone()
        assert row
        self.jobs += 1
        return str(row[0])


def _name(fault: Callable[[], None]) -> str:
    return fault.__name__.strip("_")
