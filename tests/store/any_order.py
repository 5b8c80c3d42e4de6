"""Callers of the store whose commits may fail, and what time and the sweeps do meanwhile: what the
rules of test_any_order.py stand on."""

import asyncio
import functools
import uuid
from collections.abc import Awaitable, Callable
from typing import TypeVar

import psycopg
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)

from hodei.domain.ids import uuid7
from hodei.domain.job import Outcome, Reason
from hodei.store import (
    claims,
    leases,
    releases,
    results,
    sessions,
    silent_workers,
    stray_leases,
)
from hodei.store.database import Connection as AsyncConnection
from hodei.store.leases import Claimant
from tests.conftest import Connection
from tests.factories import SECRET_HASH, AWorker, expire, promote, ready_worker

T = TypeVar("T")
TABLES = (
    "jobs, job_queue, leases, workers, worker_bootstrap_tokens, domain_events, job_logs, "
    "hodei_listening"
)

commits = st.sampled_from(["ok", "ok", "ok", "lost reply", "lost call"])
"""What the client meets around a write: all well, committed but an error was seen, nothing
committed."""


class Callers(RuleBasedStateMachine):
    """Two servers, three workers, and what each of them knows."""

    url: str
    judge: Connection

    def __init__(self) -> None:
        super().__init__()
        self._runner = asyncio.Runner()
        self._servers = [
            self._runner.run(psycopg.AsyncConnection.connect(self.url, autocommit=True))
            for _ in range(2)
        ]
        self._turn = 0
        self._workers: list[AWorker] = []
        self._offers: dict[
            int, claims.Offer
        ] = {}  # what workers hold, by lease: offered, and not ended as far as they know
        self._accepted: set[int] = set()
        self._stale: list[claims.Offer] = []  # refused: what they still say is late
        self._jobs: list[uuid.UUID] = []
        self._final: dict[uuid.UUID, str] = {}
        self._next_chunk: dict[int, int] = {}

    def teardown(self) -> None:
        for conn in self._servers:
            self._runner.run(conn.close())
        self._runner.close()

    # ── how a call goes ──

    def on(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """Servers take turns."""
        self._turn += 1

        async def run() -> T:
            return await work(self._servers[self._turn % 2])

        return self._runner.run(run())

    def say(self, commit: str, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        """A patient caller: after an error the same again, through the other server."""
        if commit == "lost reply":
            self.on(work)
        return self.on(work)

    def held(self, pick: int, *, accepted: bool | None = None) -> claims.Offer | None:
        leases_ = sorted(
            lease
            for lease in self._offers
            if accepted is None or (lease in self._accepted) == accepted
        )
        return self._offers[leases_[pick % len(leases_)]] if leases_ else None

    def refuse(self, offer: claims.Offer) -> None:
        self._offers.pop(offer.lease, None)
        self._stale.append(offer)

    @initialize()
    def begin(self) -> None:
        self.judge.execute(f"TRUNCATE {TABLES}".encode())
        self._workers = [self.on(functools.partial(ready_worker, name=f"w{n}")) for n in range(3)]


class Sweeps(Callers):
    """Rules that nobody calls: time passes, workers beat or fall silent, and servers look."""

    @rule(commit=commits, which=st.integers(0, 2))
    def worker_lost(self, commit: str, which: int) -> None:
        """Silent for two minutes; its stream is dead, what it held it will hear to be stale; it
        comes back at once."""
        worker = self._workers[which]
        self.judge.execute(
            """
            UPDATE workers
            SET last_heartbeat = last_heartbeat - interval '2 minutes'
            WHERE id = %s
            """,
            [worker.id],
        )
        self.judge.execute(
            """
            UPDATE hodei_listening
            SET listening_since = listening_since - interval '1 hour', last_beat = clock_timestamp()
            """
        )
        assert len(self.say("ok", lambda conn: silent_workers.judge_silent(conn, 30.0, 60.0))) == 1
        self.sweep_orphaned(commit)
        greeting = sessions.Greeting(worker.id, SECRET_HASH, uuid7(), "w", "0", 4, 0, {})
        session = self.on(lambda conn: sessions.connect(conn, greeting, 25.0))
        assert session
        self._workers[which] = AWorker(worker.id, session.session)

    def sweep_orphaned(self, commit: str) -> None:
        found = self.on(stray_leases.orphaned)
        lost = [by_sweep(claimant, Outcome.LOST) for claimant, accepted in found if accepted]
        if lost:
            self.say(commit, lambda conn: results.record_results(conn, lost))
        offers = [claimant for claimant, accepted in found if not accepted]
        if offers:
            self.say(
                commit,
                lambda conn: releases.release(
                    conn, offers, "the worker is gone", "system:job_rescuer"
                ),
            )

    @rule(commit=commits)
    def offers_lapse(self, commit: str) -> None:
        self.judge.execute(
            "UPDATE leases SET accept_by = accept_by - interval '1 hour' WHERE accepted_at IS NULL"
        )
        self.judge.execute(
            """
            UPDATE hodei_listening
            SET listening_since = listening_since - interval '1 hour', last_beat = clock_timestamp()
            """
        )
        found = self.on(lambda conn: stray_leases.overdue(conn, 10.0))
        if found:
            self.say(
                commit,
                lambda conn: releases.release(conn, found, "not accepted", "system:job_rescuer"),
            )

    @rule()
    def limits_pass(self) -> None:
        self.judge.execute(
            """
            UPDATE hodei_listening
            SET listening_since = listening_since - interval '1 hour', last_beat = clock_timestamp()
            """
        )
        self.judge.execute("UPDATE leases SET end_by = end_by - interval '1 hour'")
        if found := self.on(stray_leases.overrun):
            said = [by_sweep(claimant, Outcome.FAILED, Reason.TIMEOUT) for claimant, _ in found]
            self.on(lambda conn: results.record_results(conn, said))

    @rule()
    def time_passes_in_the_queue(self) -> None:
        self.judge.execute(
            "UPDATE job_queue SET ready_at = ready_at - interval '1 hour' WHERE waiting IS NOT NULL"
        )
        self.on(promote)

    @rule(commit=commits, which=st.integers(0, 2), lists=st.booleans())
    def heartbeat(self, commit: str, which: int, lists: bool) -> None:
        """With all that it holds; or without, and twice: then its accepted jobs are unknown to it,
        and end as lost."""
        worker = self._workers[which]
        mine = [offer for offer in self._offers.values() if offer.worker_id == worker.id]
        beat = sessions.Heartbeat(
            worker.id, worker.session, len(mine), draining=False, current_job_id=None
        )
        held = [Claimant(offer.lease, worker.id) for offer in mine] if lists else []
        self.judge.execute("UPDATE leases SET accepted_at = accepted_at - interval '1 minute'")
        ((worker_id, astray),) = self.say(
            commit, lambda conn: sessions.beat(conn, [beat], held)
        ).items()
        assert worker_id == worker.id
        self.say(commit, lambda conn: leases.renew_offers(conn, held, 10.0))
        unknown = self.on(lambda conn: stray_leases.unknown(conn, held))
        for claimant in unknown:
            self.refuse(self._offers[claimant.lease])
        if found := self.on(lambda conn: stray_leases.forgotten(conn, [worker.id], held)):
            assert astray
            self.on(
                lambda conn: results.record_results(
                    conn, [by_sweep(c, Outcome.LOST) for c in found]
                )
            )

    @precondition(lambda self: len(self._jobs) > 3)
    @rule()
    def patience_ends(self) -> None:
        self.judge.execute("UPDATE job_queue SET expires_at = expires_at - interval '1 hour'")
        self.on(expire)


def by_sweep(claimant: Claimant, outcome: Outcome, reason: Reason | None = None) -> results.Result:
    return results.Result(
        claimant.lease,
        claimant.worker_id,
        outcome,
        "system:job_rescuer",
        ran=True,
        reason=reason,
        log_chunks=-1,
    )
