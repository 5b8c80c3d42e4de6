"""What operators may ask of workers and tokens, and the state of the whole: the one way in.
Whatever carries a request (hodei/rpc) only translates it into one of these verbs, and its answer
back.

Each verb has its rules and limits here, and answers with shapes (hodei/shapes)."""

import uuid
from collections.abc import Awaitable, Callable, Collection
from typing import NamedTuple

import hodei
from hodei.access.limits import CallersDatabase
from hodei.access.pages import Page, read_page
from hodei.access.shared import SharedReading
from hodei.domain.errors import Conflict, Invalid, NotFound
from hodei.domain.token import NIL_ID
from hodei.domain.worker import WorkerState
from hodei.fleet import fleet_shapes
from hodei.shapes.fleet import Status, Token, Worker
from hodei.store import job_queue, jobs, schema, server, worker_bootstrap_tokens, workers
from hodei.store.database import Connection

TTL_S, LONGEST_TTL_S = 3600.0, 604_800.0
"""Seconds for which a token may be redeemed: unless the caller says it, and at most."""

MOST_WORKERS = 1000
"""Workers of one page."""

Change = Callable[[Connection, uuid.UUID, str], Awaitable[bool]]
"""A statement of hodei/store/workers.py that changes a worker for an actor; False: there is none."""


class Tokens(NamedTuple):
    """The newest tokens."""

    tokens: list[Token]
    more: bool  # there are older ones


class Fleet:
    """The verbs. Any of them may raise Unavailable (the database is away) or Exhausted (a limit of
    callers is reached)."""

    def __init__(self, database: CallersDatabase) -> None:
        self._database = database
        self._status = SharedReading(lambda: database.run(_read_status))

    # ── workers ──

    async def list_workers(self, *, every: bool, before: uuid.UUID | None) -> Page[Worker]:
        """A page of workers, newest first: those older than `before`; with `every` also TERMINATED
        ones."""

        async def read(last: Worker | None, count: int) -> list[Worker]:
            older_than = uuid.UUID(last.worker_id) if last else before
            found = await self._database.run(
                lambda conn: workers.list_all(conn, every=every, before=older_than, limit=count)
            )
            return [fleet_shapes.of_worker(row) for row in found]

        return await read_page(read, MOST_WORKERS)

    async def drain(self, worker_id: uuid.UUID, actor: str) -> Worker:
        """Gives a worker nothing new. NotFound. Conflict: it is gone."""
        gone = {WorkerState.TERMINATED}
        return await self._change(
            worker_id, workers.drain, actor, gone, "there is nothing to drain"
        )

    async def undrain(self, worker_id: uuid.UUID, actor: str) -> Worker:
        """Gives a worker work again. NotFound. Conflict: it is gone, or not here just now."""
        gone = {WorkerState.TERMINATED, WorkerState.UNREACHABLE}
        why = "it gets no work before it is back; take its drain back then"
        return await self._change(worker_id, workers.undrain, actor, gone, why)

    async def revoke(self, worker_id: uuid.UUID, actor: str) -> Worker:
        """Ends a worker's credential for ever: its stream is closed and its jobs are given away.
        NotFound."""
        return await self._change(worker_id, workers.revoke, actor)

    async def _change(
        self,
        worker_id: uuid.UUID,
        change: Change,
        actor: str,
        not_when: Collection[str] = (),
        why: str = "",
    ) -> Worker:
        """Conflict, with the words `why`: its state is one of `not_when`."""
        before = await self._get(worker_id)
        if before.state in not_when:
            raise Conflict(f"worker {worker_id} is {before.state}: {why}")
        if not await self._database.run(lambda conn: change(conn, worker_id, actor)):
            raise NotFound(f"no worker {worker_id}")
        return await self._get(worker_id)

    async def _get(self, worker_id: uuid.UUID) -> Worker:
        found = await self._database.run(lambda conn: workers.list_all(conn, worker_id=worker_id))
        if not found:
            raise NotFound(f"no worker {worker_id}")
        return fleet_shapes.of_worker(found[0])

    # ── tokens ──

    async def mint_token(self, worker_id: uuid.UUID | None, ttl_s: float, actor: str) -> Token:
        """Makes a token that one worker may redeem within `ttl_s` seconds (0: TTL_S), this one or,
        for None, any. The answer is the only one that has the token itself. Invalid: the time is
        out of range."""
        seconds = ttl_s or TTL_S
        if not 1.0 <= seconds <= LONGEST_TTL_S:
            raise Invalid(f"ttl: expected 1 to {LONGEST_TTL_S:g} seconds, got {seconds:g}")
        bound_to = worker_id or uuid.UUID(NIL_ID)
        minted = await self._database.run(
            lambda conn: worker_bootstrap_tokens.mint(conn, bound_to, seconds, actor)
        )
        return fleet_shapes.of_token(minted, reveal=True)

    async def list_tokens(self) -> Tokens:
        """The newest tokens, by their fingerprints."""
        found, more = await self._database.run(worker_bootstrap_tokens.list_newest)
        return Tokens([fleet_shapes.of_token(row) for row in found], more)

    async def revoke_token(self, which: str, actor: str) -> Token:
        """Makes a token useless, by itself or by its fingerprint. NotFound: no usable one."""
        revoked = await self._database.run(
            lambda conn: worker_bootstrap_tokens.revoke(conn, which.lower(), actor)
        )
        if revoked is None:
            raise NotFound(
                "no usable token of this name: expected a token or the fingerprint that `hodei token list` shows"
            )
        return fleet_shapes.of_token(revoked)

    # ── the whole ──

    async def status(self) -> Status:
        """The state of the whole, as of this call."""
        return await self._status.get()


async def _read_status(conn: Connection) -> Status:
    queued, ready, oldest_s = await job_queue.queue_depth(conn)
    fleet = await workers.summary(conn)
    root_workers, root_worker_names = await workers.as_root(conn)
    return Status(
        jobs={str(state): number for state, number in (await jobs.count(conn)).items()},
        workers={str(state): number for state, number in fleet.by_state.items()},
        queued=queued,
        queued_ready=ready,
        oldest_ready_s=oldest_s if ready else None,
        slots=fleet.slots,
        slots_busy=fleet.busy_slots,
        tokens_usable=await worker_bootstrap_tokens.count_usable(conn),
        servers=await server.count(conn),
        version=hodei.__version__,
        schema_version=schema.VERSION,
        database=await server.database_version(conn),
        root_workers=root_workers,
        root_worker_names=root_worker_names,
    )
