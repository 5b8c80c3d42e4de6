"""The whole store by rules: two servers, three workers, all verbs in any order, on real PostgreSQL.

Around every write a commit may succeed though the client saw an error, or fail before anything was
written; the callers here then do what the real ones do: say it again (creates, accepts, results,
logs), or forget it and leave it to the sweeps (claims, releases)."""

import asyncio
import functools
import uuid
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from hodei.domain.ids import uuid7
from hodei.domain.job import FINAL, Outcome, Reason
from hodei.domain.spec import normalise
from hodei.store import (
    accepts,
    cancels,
    claims,
    creation,
    job_logs,
    late_results,
    leases,
    releases,
    results,
    sessions,
    stray_leases,
    workers,
)
from hodei.store.database import Connection as AsyncConnection
from hodei.store.job_logs import Chunk
from hodei.store.late_results import Late
from hodei.store.leases import Claimant
from tests.conftest import Connection
from tests.factories import NOW_US, SECRET_HASH, AWorker, claim, expire, promote, ready_worker, word
from verify.checker import violations

T = TypeVar("T")
TABLES = "jobs, job_queue, leases, workers, worker_bootstrap_tokens, domain_events, job_logs, hodei_listening"

commits = st.sampled_from(["ok", "ok", "ok", "lost reply", "lost call"])
"""What the client meets around a write: all well, committed but an error was seen, nothing
committed."""


class Store(RuleBasedStateMachine):
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

    # ── rules ──

    @initialize()
    def begin(self) -> None:
        self.judge.execute(f"TRUNCATE {TABLES}".encode())
        self._workers = [self.on(functools.partial(ready_worker, name=f"w{n}")) for n in range(3)]

    @rule(commit=commits, retries=st.integers(0, 2), fail=st.booleans(), limit=st.booleans())
    def create(self, commit: str, retries: int, fail: bool, limit: bool) -> None:
        spec = {"command": "true", "retries": retries, "on_lost": "fail" if fail else "rerun"}
        new = creation.NewJob(
            uuid7(),
            "cli:test",
            normalise(spec | ({"queue_timeout": 60, "timeout": 60} if limit else {})).normal,
        )
        assert self.say(commit, lambda conn: creation.create(conn, [new]))[new.id] in (
            "created",
            "existed",
        )
        self._jobs.append(new.id)

    @rule(commit=commits, which=st.integers(0, 2), slots=st.integers(1, 3))
    def claim(self, commit: str, which: int, slots: int) -> None:
        """With the reply lost nobody ever hears of these offers: they lapse."""
        worker = self._workers[which]
        if commit == "lost call":
            return
        for offer in self.on(lambda conn: claim(conn, [worker.id] * slots)):
            if commit == "ok":
                self._offers[offer.lease] = offer

    @rule(commit=commits, pick=st.integers(0, 99))
    def accept(self, commit: str, pick: int) -> None:
        offer = self.held(pick, accepted=False)
        if offer:
            said = Claimant(offer.lease, offer.worker_id)
            if self.say(commit, lambda conn: accepts.accept(conn, [said])):
                self._accepted.add(offer.lease)
            else:
                self.refuse(offer)

    @rule(
        commit=commits,
        pick=st.integers(0, 99),
        outcome=st.sampled_from(["SUCCEEDED", "FAILED", "LOST", "CANCELLED"]),
        again=st.booleans(),
    )
    def result(self, commit: str, pick: int, outcome: str, again: bool) -> None:
        """Also of an offer whose accept is not written yet; a refused one is told as late."""
        if offer := self.held(pick):
            more = (
                {}
                if outcome == "FAILED"
                else {"reason": "CANCELLED" if outcome == "CANCELLED" else None}
            )
            said = word(offer, outcome, log_chunks=self._next_chunk.get(offer.lease, 0), **more)
            ended = (
                self.on(lambda conn: results.record_results(conn, [said]))
                if commit != "lost call"
                else []
            )
            if commit != "ok":
                repeated = self.on(lambda conn: results.record_results(conn, [said]))
                assert not (ended and repeated), "recorded twice"
                ended = ended or repeated
            if not ended or again:
                assert self.on(
                    lambda conn: late_results.record_late(conn, Late(offer.job_id, said))
                ).stored
            self._offers.pop(offer.lease)

    @rule(commit=commits, pick=st.integers(0, 99), outcome=st.sampled_from(["SUCCEEDED", "LOST"]))
    def late(self, commit: str, pick: int, outcome: str) -> None:
        if self._stale:
            offer = self._stale[pick % len(self._stale)]
            assert (
                self.on(lambda conn: results.record_results(conn, [word(offer, outcome)])) == []
            ), "the fence"
            assert (
                self.on(lambda conn: accepts.accept(conn, [Claimant(offer.lease, offer.worker_id)]))
                == {}
            ), "the fence"
            late = Late(offer.job_id, word(offer, outcome))
            assert self.say(commit, lambda conn: late_results.record_late(conn, late)).stored

    @rule(commit=commits, pick=st.integers(0, 99), back=st.integers(0, 2))
    def log(self, commit: str, pick: int, back: int) -> None:
        """Two chunks, beginning up to two before the next one: sent again after a reconnect."""
        if offer := self.held(pick, accepted=True):
            begin = max(0, self._next_chunk.get(offer.lease, 0) - back)
            chunks = [
                Chunk(offer.lease, offer.worker_id, seq, 1, seq, 1, NOW_US, b"x")
                for seq in (begin, begin + 1)
            ]
            answer = self.say(commit, lambda conn: job_logs.append(conn, chunks))
            if stored := answer.get(Claimant(offer.lease, offer.worker_id)):
                self._next_chunk[offer.lease] = max(self._next_chunk.get(offer.lease, 0), begin + 2)
                assert stored.next_seq == self._next_chunk[offer.lease]
            else:
                self.refuse(offer)

    @rule(commit=commits, pick=st.integers(0, 99))
    def reject(self, commit: str, pick: int) -> None:
        offer = self.held(pick, accepted=False)
        if offer:
            del self._offers[offer.lease]
            if commit != "lost call":
                self.on(
                    lambda conn: releases.release(
                        conn,
                        [Claimant(offer.lease, offer.worker_id)],
                        "draining",
                        f"worker:{offer.worker_id}",
                    )
                )

    @rule(pick=st.integers(0, 99))
    def cancel(self, pick: int) -> None:
        if self._jobs:
            job_id = self._jobs[pick % len(self._jobs)]
            if not self.on(lambda conn: cancels.cancel_queued(conn, job_id, "cli:ana")):
                self.on(lambda conn: cancels.request_cancel(conn, job_id, "cli:ana"))

    @rule(commit=commits, which=st.integers(0, 2))
    def worker_lost(self, commit: str, which: int) -> None:
        """Silent for two minutes; its stream is dead, what it held it will hear to be stale; it
        comes back at once."""
        worker = self._workers[which]
        self.judge.execute(
            "UPDATE workers SET last_heartbeat = last_heartbeat - interval '2 minutes' WHERE id = %s",
            [worker.id],
        )
        self.judge.execute(
            "UPDATE hodei_listening SET listening_since = listening_since - interval '1 hour', last_beat = clock_timestamp()"
        )
        assert len(self.say("ok", lambda conn: workers.judge_silent(conn, 30.0, 60.0))) == 1
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
            "UPDATE hodei_listening SET listening_since = listening_since - interval '1 hour', last_beat = clock_timestamp()"
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
            "UPDATE hodei_listening SET listening_since = listening_since - interval '1 hour', last_beat = clock_timestamp()"
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

    @rule(commit=commits, pick=st.integers(0, 99))
    def retry(self, commit: str, pick: int) -> None:
        """A new job with the spec of one that has ended."""
        if ended := sorted(self._final):
            old, new = ended[pick % len(ended)], uuid7()

            async def repeat(conn: AsyncConnection) -> None:
                async with conn.transaction():
                    await creation.create(
                        conn, [creation.NewJob(new, "cli:test", {"command": "true"})]
                    )
                    await creation.name_origin(conn, new, old)

            self.say(commit, repeat)
            self._jobs.append(new)

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
        ((beaten, astray),) = self.say(
            commit, lambda conn: sessions.beat(conn, [beat], held)
        ).items()
        assert beaten == worker.id
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

    @rule(which=st.integers(0, 2), undo=st.booleans())
    def drain(self, which: int, undo: bool) -> None:
        assert self.on(
            lambda conn: (workers.undrain if undo else workers.drain)(
                conn, self._workers[which].id, "cli:ana"
            )
        )

    @rule(commit=commits, pick=st.integers(0, 99), stopping=st.booleans())
    def cancel_delivered(self, commit: str, pick: int, stopping: bool) -> None:
        if offer := self.held(pick):
            self.say(
                commit,
                lambda conn: leases.cancel_delivered(
                    conn, offer.worker_id, [offer.lease], stopping=stopping
                ),
            )
            self.say(commit, lambda conn: leases.started(conn, offer.worker_id, [offer.lease]))

    @precondition(lambda self: len(self._jobs) > 3)
    @rule()
    def patience_ends(self) -> None:
        self.judge.execute("UPDATE job_queue SET expires_at = expires_at - interval '1 hour'")
        self.on(expire)

    # ── what must hold at every moment ──

    @invariant()
    def sound(self) -> None:
        assert violations(self.judge) == []

    @invariant()
    def final_is_final(self) -> None:
        now: dict[uuid.UUID, str] = dict(
            self.judge.execute("SELECT id, state FROM jobs").fetchall()
        )
        assert set(self._jobs) == set(now), "a lost job"
        for job_id, state in self._final.items():
            assert now[job_id] == state, "a final state has changed"
        self._final = {job_id: state for job_id, state in now.items() if state in FINAL}


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


@pytest.fixture
def judge(database_url: str) -> Iterator[Connection]:
    with psycopg.connect(database_url, autocommit=True, options="-c timezone=UTC") as conn:
        yield conn


def test_any_order_of_all_verbs_with_ambiguous_commits(
    database_url: str, judge: Connection
) -> None:
    class Here(Store):
        pass

    Here.url, Here.judge = database_url, judge
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=150,
            stateful_step_count=50,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
