"""The gRPC servers of this process: one for its addresses on loopback, and one for all others. gRPC
does not tell at which address a call came in, and what a caller may do can depend on that."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import grpc.aio

from hodei.config import Listener, Settings
from hodei.domain.errors import Conflict, Invalid
from hodei.rpc.options import GRPC_OPTIONS
from hodei.tls.bad import BadTls
from hodei.tls.served import ServedPair

AddServices = Callable[[grpc.aio.Server, bool], None]
"""Adds all services to a server; whether it listens on loopback."""


class Listeners:
    """Listens at every address of the settings, once it is started."""

    def __init__(self, settings: Settings, add_services: AddServices) -> None:
        """Invalid: the files for TLS do not fit. Conflict: it cannot listen at an address."""
        self._servers: list[grpc.aio.Server] = []
        self._pair = _served_pair(settings)
        bound: dict[int, str] = {}
        for on_loopback in (True, False):
            listeners = enumerate(settings.listeners)
            chosen = [(n, one) for n, one in listeners if one.is_on_loopback == on_loopback]
            if chosen:
                server = grpc.aio.server(options=GRPC_OPTIONS)
                add_services(server, on_loopback)
                bound |= {n: self._listen(server, one) for n, one in chosen}
                self._servers.append(server)
        self.addresses = ", ".join(bound[n] for n in sorted(bound))
        """Where it listens, for people: with the port that was free in place of port 0."""

    def _listen(self, server: grpc.aio.Server, one: Listener) -> str:
        """Returns its address with the port that it has."""
        try:
            if self._pair is None:
                port = server.add_insecure_port(one.address)
            else:
                credentials = self._pair.credentials(one.client_ca)
                port = server.add_secure_port(one.address, credentials)
        except BadTls as error:
            raise Invalid(f"--grpc {one.address}: {error}") from error
        except RuntimeError as error:
            raise Conflict(
                f"cannot listen on {one.address}: the port is taken or the address is not of this"
                " machine; choose another --grpc"
            ) from error
        return f"{one.address.rpartition(':')[0]}:{port}"

    def certificate_expires_at(self) -> datetime | None:
        """When the certificate expires that is served now. None: plain text."""
        return self._pair.expires_at if self._pair else None

    async def start(self) -> None:
        for server in self._servers:
            await server.start()

    async def stop(self, grace_s: float | None) -> None:
        """Takes no further calls, and ends those that have not ended after `grace_s`
        seconds."""
        first, *others = self._servers
        async with asyncio.TaskGroup() as group:
            for server in others:
                group.create_task(server.stop(grace_s))
            await first.stop(grace_s)


def _served_pair(settings: Settings) -> ServedPair | None:
    if not settings.tls_cert or not settings.tls_key:
        return None
    try:
        return ServedPair(settings.tls_cert, settings.tls_key)
    except BadTls as error:
        raise Invalid(str(error)) from error
