"""The whole store by rules: two servers, three workers, all verbs in any order, on real PostgreSQL.

Around every write a commit may succeed though the client saw an error, or fail before anything was
written; the callers here then do what the real ones do: say it again (creates, accepts, results,
logs), or forget it and leave it to the sweeps (claims, releases). tests/hostile/test_store.py does
it for longer."""

import uuid

import psycopg
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    invariant,
    rule,
    run_state_machine_as_test,
)

from hodei.domain.ids import uuid7
from hodei.domain.job import FINAL
from hodei.domain.spec import normalise
from hodei.store import (
    accepts,
    cancels,
    creation,
    job_logs,
    late_results,
    leases,
    releases,
    results,
    workers,
)
from hodei.store.database import Connection as AsyncConnection
from hodei.store.job_logs import Chunk
from hodei.store.late_results import Late
from hodei.store.leases import Claimant
from tests.factories import NOW_US, claim, word
from tests.store.any_order import Sweeps, commits
from verify.checker import violations


class Store(Sweeps):
    """Rules of what callers and workers say."""

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
            if outcome == "CANCELLED":
                self.on(lambda conn: cancels.request_cancel(conn, offer.job_id, "cli:test"))
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


def explore(database_url: str, runs: int) -> None:
    """Runs of 50 steps each, of random rules; a failing one is made as short as it can be."""
    bounds = settings(
        max_examples=runs,
        stateful_step_count=50,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    with psycopg.connect(database_url, autocommit=True, options="-c timezone=UTC") as conn:

        class Here(Store):
            url = database_url
            judge = conn

        run_state_machine_as_test(Here, settings=bounds)


def test_any_order_of_all_verbs_with_ambiguous_commits(database_url: str) -> None:
    explore(database_url, 30)
