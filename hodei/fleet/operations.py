"""What operators may ask of workers and tokens, and the state of the whole: the one way in.
Whatever carries a request (hodei/rpc) only translates it into one of these verbs, and its answer
back.

Each verb has its rules and limits here, and answers with shapes (hodei/shapes)."""

import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import NamedTuple

from hodei.access.limits import CallersDatabase
from hodei.access.pages import Page, read_page
from hodei.access.principal import Principal
from hodei.domain.errors import Conflict, Invalid, NotFound
from hodei.domain.token import NIL_ID
from hodei.domain.worker import WorkerState
from hodei.fleet import fleet_shapes
from hodei.fleet.status import StatusReader
from hodei.fleet.which_worker import worker_id_of
from hodei.shapes.fleet import Status, Token, Worker, WorkerDetails
from hodei.store import fleet_view, queue_view, worker_bootstrap_tokens, workers
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
        self._status = StatusReader(database)

    # ── workers ──

    async def get_worker(self, which: str, who: Principal) -> WorkerDetails:
        """A worker, with what it has and what it lacks: of jobs that the caller does not reach only
        the number. NotFound. Invalid: `which` fits several."""
        worker_id = await worker_id_of(self._database, which)

        async def read(conn: Connection) -> WorkerDetails:
            found = await workers.list_all(conn, worker_id=worker_id, project=who.project)
            if not found:
                raise NotFound(f"no worker {worker_id}")
            held = await fleet_view.jobs_of(conn, worker_id, who.project)
            lacking = await queue_view.lacking(conn, worker_id, who.project)
            return fleet_shapes.of_details(found[0], held, lacking)

        return await self._database.run(read)

    async def list_workers(
        self,
        who: Principal,
        *,
        every: bool,
        before: uuid.UUID | None,
        states: Sequence[str] = (),
        labels: Mapping[str, str] | None = None,
    ) -> Page[Worker]:
        """A page of workers, newest first: those older than `before`; with `every` also TERMINATED
        ones; with `states` only those in one of them; only those with all of `labels`. The current
        job of a worker is left out if the caller does not reach it. Invalid: no such state."""
        wanted = {_state(word) for word in states} or None
        if any("\0" in text for pair in (labels or {}).items() for text in pair):
            raise Invalid("labels: expected text without NUL")

        async def read(last: Worker | None, count: int) -> list[Worker]:
            older_than = uuid.UUID(last.worker_id) if last else before
            found = await self._database.run(
                lambda conn: workers.list_all(
                    conn,
                    every=every or wanted is not None,
                    before=older_than,
                    states=wanted,
                    labels=labels,
                    limit=count,
                    project=who.project,
                )
            )
            return [fleet_shapes.of_worker(row) for row in found]

        return await read_page(read, MOST_WORKERS)

    async def drain(self, which: str, actor: str) -> Worker:
        """Gives a worker nothing new; one that is away counts as drained when it is back. NotFound.
        Invalid: `which` fits several. Conflict: it is gone."""
        gone = {WorkerState.TERMINATED}
        return await self._change(which, workers.drain, actor, gone, "there is nothing to drain")

    async def undrain(self, which: str, actor: str) -> Worker:
        """Gives a worker work again. NotFound. Invalid: `which` fits several. Conflict: it is gone,
        or not here just now: whether one without a stream has died or changes servers is not known.
        """
        gone = {WorkerState.TERMINATED, WorkerState.UNREACHABLE}
        why = "it gets no work before it is back; take its drain back then"
        return await self._change(which, workers.undrain, actor, gone, why, connected=True)

    async def revoke(self, which: str, actor: str) -> Worker:
        """Ends a worker's credential for ever: its stream is closed and its jobs are given away.
        NotFound. Invalid: `which` fits several."""
        return await self._change(which, workers.revoke, actor)

    async def _change(
        self,
        which: str,
        change: Change,
        actor: str,
        not_when: Collection[str] = (),
        why: str = "",
        *,
        connected: bool = False,
    ) -> Worker:
        """Conflict, with the words `why`: its state is one of `not_when`, or no server has its
        stream, and `connected` asks for that."""
        worker_id = await worker_id_of(self._database, which)
        before = await self._row(worker_id)
        if before.state in not_when:
            raise Conflict(f"worker {worker_id} is {before.state}: {why}")
        if connected and not before.connected:
            raise Conflict(f"worker {worker_id} is connected to no server: {why}")
        if not await self._database.run(lambda conn: change(conn, worker_id, actor)):
            raise NotFound(f"no worker {worker_id}")
        return fleet_shapes.of_worker(await self._row(worker_id))

    async def _row(self, worker_id: uuid.UUID) -> workers.Worker:
        found = await self._database.run(lambda conn: workers.list_all(conn, worker_id=worker_id))
        if not found:
            raise NotFound(f"no worker {worker_id}")
        return found[0]

    # ── tokens ──

    async def mint_token(self, which: str, ttl_s: float, actor: str) -> Token:
        """Makes a token that one worker may redeem within `ttl_s` seconds (0: TTL_S): the one that
        is meant, which need not be known if its whole id is given, or for an empty text any. The
        answer is the only one that has the token itself. Invalid: the time is out of range, or
        `which` fits several. NotFound: it fits none."""
        seconds = ttl_s or TTL_S
        if not 1.0 <= seconds <= LONGEST_TTL_S:
            raise Invalid(f"ttl: expected 1 to {LONGEST_TTL_S:g} seconds, got {seconds:g}")
        bound_to = await worker_id_of(self._database, which) if which else uuid.UUID(NIL_ID)
        minted = await self._database.run(
            lambda conn: worker_bootstrap_tokens.mint(conn, bound_to, seconds, actor)
        )
        return fleet_shapes.of_token(minted, reveal=True)

    async def list_tokens(self) -> Tokens:
        """The newest tokens, by their fingerprints."""
        found, more = await self._database.run(worker_bootstrap_tokens.list_newest)
        return Tokens([fleet_shapes.of_token(row) for row in found], more)

    async def revoke_token(self, which: str, actor: str) -> Token:
        """Makes a token useless, by itself or by its fingerprint. NotFound. Conflict: it was
        redeemed or revoked before."""
        name = which.lower()
        if "\0" in name:
            raise Invalid("token: expected text without NUL")
        revoked = await self._database.run(
            lambda conn: worker_bootstrap_tokens.revoke(conn, name, actor)
        )
        if revoked:
            return fleet_shapes.of_token(revoked)
        if state := await self._database.run(
            lambda conn: worker_bootstrap_tokens.state(conn, name)
        ):
            raise Conflict(f"this token is {state} already: only a usable one can be revoked")
        raise NotFound(
            "no such token: expected a token, or the fingerprint that `hodei token list` shows"
        )

    # ── the whole ──

    async def status(self, who: Principal) -> Status:
        """The state of the whole, as of this call; of jobs only those that the caller reaches."""
        return await self._status.get(who.project)


def _state(word: str) -> WorkerState:
    try:
        return WorkerState(word.upper())
    except ValueError:
        raise Invalid(
            f"state: expected one of {', '.join(WorkerState)}, got {word[:80]!r}"
        ) from None
