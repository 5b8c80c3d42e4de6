"""ProviderService: the verbs of hodei/fleet/providers.py on the wire."""

from typing import Any

from loguru import logger

from hodei.access.principal import principal
from hodei.fleet.providers import Providers
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from hodei.shapes import wire
from hodei.shapes.provider import Provider


class ProviderService(hodei_pb2_grpc.ProviderServiceServicer):
    def __init__(self, providers: Providers) -> None:
        self._providers = providers

    async def AddProvider(self, request: pb.AddProviderRequest, context: Any) -> pb.Provider:
        return _message(
            await self._providers.add(
                request.name,
                request.provider_type,
                request.config,
                request.max_workers,
                request.priority,
                principal.get(),
            )
        )

    async def GetProvider(self, request: pb.ProviderRef, context: Any) -> pb.Provider:
        return _message(await self._providers.get(request.provider))

    async def ListProviders(
        self, request: pb.ListProvidersRequest, context: Any
    ) -> pb.ListProvidersResponse:
        found = await self._providers.list_all()
        return pb.ListProvidersResponse(
            providers=[_message(one) for one in found.providers], more=found.more
        )

    async def PauseProvider(self, request: pb.ProviderRef, context: Any) -> pb.Provider:
        return _message(await self._providers.pause(request.provider, principal.get()))

    async def ResumeProvider(self, request: pb.ProviderRef, context: Any) -> pb.Provider:
        return _message(await self._providers.resume(request.provider, principal.get()))

    async def AdoptEngine(self, request: pb.ProviderRef, context: Any) -> pb.Provider:
        return _message(await self._providers.adopt_engine(request.provider, principal.get()))

    async def RemoveProvider(self, request: pb.RemoveProviderRequest, context: Any) -> pb.Provider:
        removed = await self._providers.remove(
            request.provider, principal.get(), force=request.force
        )
        return _message(removed)


def _message(shown: Provider) -> pb.Provider:
    """A provider. One that a hand has given a text that is none is shown as unreadable."""
    try:
        return wire.fill_near(pb.Provider, shown)
    except (ValueError, TypeError, OverflowError) as error:
        log = logger.bind(component="ProviderService")
        log.warning("provider {} cannot be shown: {}", shown.provider_id, error)
        return pb.Provider(provider_id=shown.provider_id, name="(unreadable)", status=shown.status)
