"""SecretService: the verbs of hodei/fleet/secrets.py on the wire."""

from typing import Any

from hodei.access.principal import principal
from hodei.fleet.secrets import Secrets
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from hodei.shapes import wire


class SecretService(hodei_pb2_grpc.SecretServiceServicer):
    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    async def SetSecret(self, request: pb.SetSecretRequest, context: Any) -> pb.Secret:
        made = await self._secrets.set(
            request.name,
            request.value,
            request.project,
            principal.get(),
            allow_short=request.allow_short,
        )
        return wire.fill_near(pb.Secret, made)

    async def ListSecrets(
        self, request: pb.ListSecretsRequest, context: Any
    ) -> pb.ListSecretsResponse:
        found = await self._secrets.list(request.project, principal.get())
        return pb.ListSecretsResponse(
            secrets=[wire.fill_near(pb.Secret, one) for one in found.secrets], more=found.more
        )

    async def RemoveSecret(self, request: pb.SecretRef, context: Any) -> pb.Secret:
        removed = await self._secrets.remove(request.name, request.project, principal.get())
        return wire.fill_near(pb.Secret, removed)

    async def RotateSecrets(
        self, request: pb.RotateSecretsRequest, context: Any
    ) -> pb.RotateSecretsResponse:
        done = await self._secrets.rotate(principal.get())
        return pb.RotateSecretsResponse(rotated=done.rotated, key_id=done.key_id)
