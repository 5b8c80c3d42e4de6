"""FleetService: workers, tokens and the state of the whole, for operators."""

from collections.abc import Sequence
from typing import Any

import hodei
from hodei.domain.errors import Conflict, Invalid, NotFound
from hodei.domain.token import NIL_ID
from hodei.domain.worker import WorkerState
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from hodei.rpc import convert
from hodei.rpc.limits import ForCallers, Shared
from hodei.rpc.principal import actor
from hodei.store import job_queue, jobs, schema, server, worker_bootstrap_tokens, workers
from hodei.store.database import Connection

TERMINATED, UNREACHABLE = WorkerState.TERMINATED, WorkerState.UNREACHABLE

LONGEST_TTL_S = 604_800.0

STEP = 100
"""Workers read at a time for a list: some 4 MB at most, with their labels."""


class FleetService(hodei_pb2_grpc.FleetServiceServicer):
    def __init__(self, database: ForCallers) -> None:
        self._database = database
        self._status = Shared(lambda: database.run(_status))

    async def ListWorkers(
        self, request: pb.ListWorkersRequest, context: Any
    ) -> pb.ListWorkersResponse:
        before = (
            convert.uuid_of(request.before_worker_id, "before_worker_id")
            if request.before_worker_id
            else None
        )
        answer, size = pb.ListWorkersResponse(), 0
        while len(answer.workers) < workers.MOST:
            found = await self._database.run(
                lambda conn, last=before: workers.list_all(  # type: ignore[misc]
                    conn, every=request.all, before=last, limit=STEP
                )
            )
            for worker in map(convert.worker, found):
                size += worker.ByteSize() + 4
                if size > convert.PAGE_BYTES and answer.workers:
                    answer.next_before_worker_id = answer.workers[-1].worker_id
                    return answer
                answer.workers.append(worker)
            if len(found) < STEP:
                return answer
            before = found[-1].id
        answer.next_before_worker_id = answer.workers[-1].worker_id
        return answer

    async def DrainWorker(self, request: pb.DrainWorkerRequest, context: Any) -> pb.Worker:
        """One that is gone has no drain to begin; nor one to take back, before it is here again."""
        if request.undo:
            gone, why = (
                (TERMINATED, UNREACHABLE),
                "it gets no work before it is back; take its drain back then",
            )
            return await self._change(request.worker_id, workers.undrain, gone, why)
        return await self._change(
            request.worker_id, workers.drain, (TERMINATED,), "there is nothing to drain"
        )

    async def RevokeWorker(self, request: pb.WorkerRef, context: Any) -> pb.Worker:
        return await self._change(request.worker_id, workers.revoke)

    async def _change(
        self, text: str, change: Any, not_when: Sequence[WorkerState] = (), why: str = ""
    ) -> pb.Worker:
        worker_id = convert.uuid_of(text, "worker_id")
        who = actor.get()
        before = await self._database.run(lambda conn: workers.list_all(conn, worker_id=worker_id))
        if before and before[0].state in not_when:
            raise Conflict(f"worker {worker_id} is {before[0].state}: {why}")
        if not before or not await self._database.run(lambda conn: change(conn, worker_id, who)):
            raise NotFound(f"no worker {worker_id}")
        return convert.worker(
            (await self._database.run(lambda conn: workers.list_all(conn, worker_id=worker_id)))[0]
        )

    async def CreateToken(self, request: pb.CreateTokenRequest, context: Any) -> pb.Token:
        ttl_s = request.ttl_s or 3600.0
        if not 1.0 <= ttl_s <= LONGEST_TTL_S:
            raise Invalid(f"ttl: expected 1 to {LONGEST_TTL_S:g} seconds, got {ttl_s:g}")
        worker_id = convert.uuid_of(request.worker_id or NIL_ID, "worker_id")
        who = actor.get()
        minted = await self._database.run(
            lambda conn: worker_bootstrap_tokens.mint(conn, worker_id, ttl_s, who)
        )
        return convert.token(minted, reveal=True)

    async def ListTokens(
        self, request: pb.ListTokensRequest, context: Any
    ) -> pb.ListTokensResponse:
        found, more = await self._database.run(worker_bootstrap_tokens.list_newest)
        return pb.ListTokensResponse(tokens=[convert.token(row) for row in found], more=more)

    async def RevokeToken(self, request: pb.TokenRef, context: Any) -> pb.Token:
        who = actor.get()
        revoked = await self._database.run(
            lambda conn: worker_bootstrap_tokens.revoke(conn, request.token.lower(), who)
        )
        if revoked is None:
            raise NotFound(
                "no usable token of this name: expected a token or the fingerprint that `hodei token list` shows"
            )
        return convert.token(revoked)

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.Status:
        return await self._status.get()


async def _status(conn: Connection) -> pb.Status:
    queued, ready, oldest_s = await job_queue.queue_depth(conn)
    fleet = await workers.summary(conn)
    root_workers, root_worker_names = await workers.as_root(conn)
    return pb.Status(
        jobs={str(state): number for state, number in (await jobs.count(conn)).items()},
        workers={str(state): number for state, number in fleet.by_state.items()},
        queued=queued,
        queued_ready=ready,
        oldest_ready_s=oldest_s,
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
