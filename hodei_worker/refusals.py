"""The servers that have refused this worker for good. One that lies, or is not meant for it, does
not end a worker that has others: it ends when each server that answers has refused it."""

import time

from loguru import logger

from hodei.tls.address import Address
from hodei_worker.addresses import Addresses
from hodei_worker.registration import GiveUp, Revoked


class Refusals:
    """Those since a server has accepted the worker. `addresses` says which servers do not answer."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._refused: dict[Address, GiveUp] = {}
        self._since = 0.0

    def add(self, address: Address, final: GiveUp) -> None:
        """Keeps a refusal while there is another server to ask. Raises GiveUp if there is none."""
        if not self._refused:
            self._since = time.monotonic()
        self._refused[address] = final
        self.check()
        logger.warning("{} refuses this worker: {}; asking the other servers", address, final)

    def drop(self, address: Address) -> None:
        """The server is asked again."""
        self._refused.pop(address, None)

    def clear(self) -> None:
        """A server has accepted the worker."""
        self._refused.clear()

    def check(self) -> None:
        """Raises GiveUp if no server is left that has neither refused nor failed to answer since the
        first refusal. Revoked is raised only if no refusal says otherwise, because it ends jobs."""
        silent = self._addresses.failed_since(self._since)
        if self._refused and self._addresses.all == silent | self._refused.keys():
            raise min(self._refused.values(), key=lambda final: isinstance(final, Revoked))
