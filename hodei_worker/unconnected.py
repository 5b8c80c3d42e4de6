"""What the log says of a connection that failed: why, found out by a connection of its own, as gRPC
does not tell."""

import asyncio
import time

import grpc.aio
from loguru import logger

from hodei.tls.address import Address
from hodei.tls.caller import Tls
from hodei.tls.diagnosis import why
from hodei.tls.grpc_words import was_not_sent, without_grpc

WITHIN_S = 1.0
"""Seconds for each step of that connection: a worker that stops waits for it."""

AGAIN_AFTER_S = 60.0
"""Seconds until the same failure of an address is looked into again: a thousand workers must not
double the connections to a server that is in trouble."""


class Unconnected:
    def __init__(self, tls: Tls) -> None:
        self._tls = tls
        self._found: dict[Address, tuple[float, str, str]] = {}
        """When something was found, for which words of gRPC, and what."""

    async def log(self, level: str, address: Address, error: grpc.aio.AioRpcError) -> None:
        """Writes a line about a failed call. It may take a few seconds."""
        words = error.details() or ""
        if not was_not_sent(words):
            logger.log(level, "{} {}: {}", address, error.code().name, without_grpc(words))
            return
        logger.log(level, "cannot connect to {}: {}", address, await self._why(address, words))

    async def _why(self, address: Address, grpc_words: str) -> str:
        found_at, before, found = self._found.get(address, (float("-inf"), "", ""))
        if before != grpc_words or time.monotonic() - found_at > AGAIN_AFTER_S:
            finding = await asyncio.to_thread(why, address, self._tls, grpc_words, WITHIN_S)
            found = finding.words or "the connection broke off"
            self._found[address] = time.monotonic(), grpc_words, found
        return found
