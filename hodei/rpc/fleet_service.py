"""FleetService: the verbs of hodei/fleet/operations.py on the wire."""

from typing import Any

from hodei.access.principal import principal
from hodei.fleet.operations import Fleet
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from hodei.rpc import to_caller
from hodei.rpc.ids import uuid_or_none
from hodei.shapes import wire


class FleetService(hodei_pb2_grpc.FleetServiceServicer):
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    async def GetWorker(self, request: pb.WorkerRef, context: Any) -> pb.Worker:
        return to_caller.worker(await self._fleet.get_worker(request.worker_id, principal.get()))

    async def ListWorkers(
        self, request: pb.ListWorkersRequest, context: Any
    ) -> pb.ListWorkersResponse:
        page = await self._fleet.list_workers(
            principal.get(),
            every=request.all,
            before=uuid_or_none(request.before_worker_id, "before_worker_id"),
            states=request.states,
            labels=dict(request.labels),
        )
        return pb.ListWorkersResponse(
            workers=[to_caller.worker(one) for one in page.entries],
            next_before_worker_id=page.entries[-1].worker_id if page.more else "",
        )

    async def DrainWorker(self, request: pb.DrainWorkerRequest, context: Any) -> pb.Worker:
        change = self._fleet.undrain if request.undo else self._fleet.drain
        return to_caller.worker(await change(request.worker_id, principal.get().actor))

    async def RevokeWorker(self, request: pb.WorkerRef, context: Any) -> pb.Worker:
        return to_caller.worker(await self._fleet.revoke(request.worker_id, principal.get().actor))

    async def CreateToken(self, request: pb.CreateTokenRequest, context: Any) -> pb.Token:
        token = await self._fleet.mint_token(
            request.worker_id, request.ttl_s, principal.get().actor
        )
        return wire.fill_near(pb.Token, token)

    async def ListTokens(
        self, request: pb.ListTokensRequest, context: Any
    ) -> pb.ListTokensResponse:
        found = await self._fleet.list_tokens()
        return pb.ListTokensResponse(
            tokens=[wire.fill_near(pb.Token, one) for one in found.tokens], more=found.more
        )

    async def RevokeToken(self, request: pb.TokenRef, context: Any) -> pb.Token:
        return wire.fill_near(
            pb.Token, await self._fleet.revoke_token(request.token, principal.get().actor)
        )

    async def GetStatus(self, request: pb.GetStatusRequest, context: Any) -> pb.Status:
        return wire.fill_near(pb.Status, await self._fleet.status(principal.get()))
