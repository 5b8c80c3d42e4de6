"""AccessService: the verbs of hodei/fleet/access.py on the wire."""

from typing import Any

from hodei.access.principal import principal
from hodei.fleet.access import Access
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from hodei.rpc import from_caller
from hodei.shapes import wire


class AccessService(hodei_pb2_grpc.AccessServiceServicer):
    def __init__(self, access: Access) -> None:
        self._access = access

    async def WhoAmI(self, request: pb.WhoAmIRequest, context: Any) -> pb.Identity:
        return wire.fill_near(pb.Identity, self._access.who_am_i(principal.get()))

    async def CreateApiKey(self, request: pb.CreateApiKeyRequest, context: Any) -> pb.ApiKey:
        made = await self._access.create_key(
            request.name, request.role, request.project, request.expires_s, principal.get()
        )
        return wire.fill_near(pb.ApiKey, made)

    async def ListApiKeys(
        self, request: pb.ListApiKeysRequest, context: Any
    ) -> pb.ListApiKeysResponse:
        found = await self._access.list_keys(principal.get())
        return pb.ListApiKeysResponse(
            keys=[wire.fill_near(pb.ApiKey, one) for one in found.keys], more=found.more
        )

    async def ListEvents(
        self, request: pb.ListEventsRequest, context: Any
    ) -> pb.ListEventsResponse:
        found = await self._access.list_events(
            from_caller.wanted_events(request),
            request.before_event_id or None,
            request.limit,
            principal.get(),
        )
        return pb.ListEventsResponse(
            events=[wire.fill_near(pb.Timeline.Event, one) for one in found.events],
            next_before_event_id=found.go_on_before or 0,
            searched=found.searched,
        )

    async def RevokeApiKey(self, request: pb.ApiKeyRef, context: Any) -> pb.ApiKey:
        return wire.fill_near(
            pb.ApiKey, await self._access.revoke_key(request.key, principal.get())
        )
