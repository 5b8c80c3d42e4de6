"""What this worker knows of its servers' addresses. It says so in each hello: servers spread their
workers over those they can get to."""

import random
import time
from collections.abc import Iterable, Iterator, Sequence

from hodei.protocol import hodei_pb2 as pb


class Addresses:
    def __init__(self, servers: Iterable[str]) -> None:
        self._servers = dict.fromkeys(servers, "")  # address → id of the server last met there
        self._failed_at: dict[str, float] = {}

    def met(self, address: str, server_id: str) -> None:
        self._servers[address] = server_id
        self._failed_at.pop(address, None)

    def failed(self, address: str) -> None:
        """Nobody answered there."""
        self._failed_at[address] = time.monotonic()

    def said(self, here: str) -> list[pb.Address]:
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


def turns(servers: Sequence[str]) -> Iterator[str]:
    """For ever, each once a turn; each turn in another order, so that the workers of a server that
    left do not follow each other, but never the same one twice running."""
    before = ""
    while True:
        turn = random.sample(servers, len(servers))
        if turn[0] == before and len(turn) > 1:
            turn.append(turn.pop(0))
        yield from turn
        before = turn[-1]
