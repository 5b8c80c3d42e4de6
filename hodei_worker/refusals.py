"""The servers that have refused this worker for good. One that lies, or is not meant for it, does
not end a worker that has others: it ends when each server that answers has refused it."""

import math
import time

from loguru import logger

from hodei.tls.address import Address
from hodei_worker.addresses import Addresses
from hodei_worker.registration import AskOthers, GiveUp, Revoked


class Refusals:
    """Those since a server has accepted the worker. `addresses` says which servers do not answer."""

    def __init__(self, addresses: Addresses) -> None:
        self._addresses = addresses
        self._refused: dict[Address, GiveUp] = {}
        self._since = math.inf  # of the first one, by the monotonic clock

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
        self._since = math.inf

    def is_last(self, address: Address) -> bool:
        """Returns whether each other server has refused the worker, or failed to answer since the
        first refusal."""
        silent = self._addresses.failed_since(self._since)
        return self._addresses.all <= {address} | silent | self._refused.keys()

    def check(self) -> None:
        """Raises GiveUp if no server is left that has neither refused nor failed to answer since the
        first refusal. A server that says AskOthers is asked once more when the others have
        refused. Revoked is raised only if no refusal says otherwise, because it ends jobs."""
        if any(isinstance(final, AskOthers) for final in self._refused.values()):
            return
        silent = self._addresses.failed_since(self._since)
        if self._refused and self._addresses.all == silent | self._refused.keys():
            raise min(self._refused.values(), key=lambda final: isinstance(final, Revoked))
