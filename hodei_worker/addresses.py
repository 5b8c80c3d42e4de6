"""The addresses of the servers, and which of them this worker has reached. Each hello tells them to
the server: servers spread workers over those servers that a worker can reach."""

import random
import time
from collections.abc import Iterable, Iterator, Sequence

from hodei.protocol import hodei_pb2 as pb
from hodei.tls.address import Address


class Addresses:
    def __init__(self, servers: Iterable[Address]) -> None:
        self._servers = dict.fromkeys(servers, "")  # address → id of the server last met there
        self._failed_at: dict[Address, float] = {}

    def mark_reached(self, address: Address, server_id: str) -> None:
        self._servers[address] = server_id
        self._failed_at.pop(address, None)

    def mark_failed(self, address: Address) -> None:
        """No server answered at this address."""
        self._failed_at[address] = time.monotonic()

    @property
    def all(self) -> set[Address]:
        return set(self._servers)

    def failed_since(self, since: float) -> set[Address]:
        """Those at which no server answered last, at this monotonic time or later."""
        return {address for address, at in self._failed_at.items() if at >= since}

    def as_messages(self, here: Address) -> list[pb.Address]:
        """`here`: the address of the server that gets them. `failed_s` is 0 for an address that has
        not failed since it was last reached."""
        now = time.monotonic()
        return [
            pb.Address(
                server_id=server_id,
                failed_s=max(now - self._failed_at[address], 0.001)
                if address in self._failed_at
                else 0.0,
                here=address == here,
            )
            for address, server_id in self._servers.items()
        ]


def address_rounds(servers: Sequence[Address]) -> Iterator[Address]:
    """Yields addresses without end, in rounds: each address once a round, in random order, so that
    the workers of a server that has stopped spread over the others. Never yields the same address
    twice in a row (if there are several)."""
    last: Address | None = None
    while True:
        round_ = random.sample(servers, len(servers))
        if round_[0] == last and len(round_) > 1:
            round_.append(round_.pop(0))
        yield from round_
        last = round_[-1]
