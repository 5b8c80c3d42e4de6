"""Which servers a worker can get to: what it said of its addresses is compared with the servers that
live.

A worker knows servers by the id that each process gives with its welcome. Behind an address where
it met none that still lives there may be any that it does not know: a server that was started
since, or nobody.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from hodei.store.server import Live

STARTING_S = 10.0
"""Seconds from its start within which a server may not have listened yet when a worker tried its
address."""


@dataclass(frozen=True, slots=True)
class Address:
    """One of a worker's addresses, as its hello says it."""

    server_id: str  # of the server last met there; empty: none yet
    failed_at: float | None = None  # loop time when nobody answered there


def others(addresses: Sequence[Address], me: str, live: dict[str, Live], now: float) -> list[Live]:
    """The servers besides this one that the worker may get to; of those it has not met, the least
    laden."""
    met = {address.server_id for address in addresses}
    found = [
        live[address.server_id]
        for address in addresses
        if address.server_id in live
        and address.server_id != me
        and _may_lead(address, live[address.server_id], now)
    ]
    unknown = [
        address
        for address in addresses
        if address.server_id not in live and address.server_id != me
    ]
    strangers = sorted(
        (server for server in live.values() if server.id not in met and server.id != me),
        key=lambda s: s.workers,
    )
    for address in unknown:
        stranger = next((server for server in strangers if _may_lead(address, server, now)), None)
        if stranger:
            strangers.remove(stranger)
            found.append(stranger)
    return list({server.id: server for server in found}.values())


def _may_lead(address: Address, server: Live, now: float) -> bool:
    """Returns whether the server may be behind the address: not where nobody answered while it had
    long been there."""
    return address.failed_at is None or address.failed_at < now - server.age_s + STARTING_S
