"""How a worker comes to be known: by a one-time token, which it gives for an identity of its own."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import grpc.aio
from loguru import logger

import hodei_worker
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from hodei_worker.config import Settings
from hodei_worker.identity import Identity, keep, new

ANSWER_WITHIN_S = 10.0
AGAIN_AFTER_S = 1.0

REFUSALS = {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.INVALID_ARGUMENT}

CHANNEL_OPTIONS: Sequence[tuple[str, Any]] = (
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # Unsaid, a minute; with less a slow link ends by what is in flight.
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", 4 << 20),
    ("grpc.enable_retries", 0),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)


class GiveUp(Exception):
    """Trying again cannot help; what a person must do."""


class Registration:
    """`identity` is what the worker connects with; it changes when that one was revoked."""

    def __init__(self, settings: Settings, identity: Identity) -> None:
        self._settings = settings
        self.identity = identity
        self._successor = new()  # if that one turns out to be revoked

    async def register(self, address: str, level: Callable[[], str]) -> None:
        """GiveUp: the token is refused, or there is none. Other errors are logged, at `level`, and
        the caller may try again after this.

        An id that was revoked stays so: the same token then registers this host as a new worker,
        under a secret of its own."""
        async with grpc.aio.insecure_channel(address, options=CHANNEL_OPTIONS) as channel:
            stub = hodei_pb2_grpc.WorkerServiceStub(channel)
            try:
                registered = await self._first_accepted(stub)
            except grpc.aio.AioRpcError as error:
                if error.code() in REFUSALS:
                    words = f"{error.details()}; mint a new one with `hodei token create`"
                    raise GiveUp(words) from error
                logger.log(level(), "cannot register with {}: {}", address, error.details())
                await asyncio.sleep(AGAIN_AFTER_S)
                return
        if registered is self._successor:
            self._succeed()
        logger.info("registered with {}", address)

    async def _first_accepted(self, stub: Any) -> Identity:
        try:
            await stub.Register(self._request(self.identity), timeout=ANSWER_WITHIN_S)
            return self.identity
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.UNAUTHENTICATED:
                raise
        await stub.Register(self._request(self._successor), timeout=ANSWER_WITHIN_S)
        return self._successor

    def _request(self, identity: Identity) -> pb.RegisterRequest:
        return pb.RegisterRequest(
            token=self._settings.token or "",
            worker_id=identity.worker_id,
            secret_sha256=identity.secret_sha256,
            name=self._settings.name,
            version=hodei_worker.__version__,
        )

    def _succeed(self) -> None:
        """What this worker still holds was given to the id before: servers refuse it, and it is
        killed."""
        keep(self._settings.state_dir, self._successor)
        before, self.identity, self._successor = self.identity, self._successor, new()
        logger.configure(extra={"worker_id": self.identity.worker_id})
        words = "worker {} was revoked: this is worker {} from now on"
        logger.warning(words, before.worker_id, self.identity.worker_id)
