"""Who calls: every call is answered for a principal, and counted for the address it comes from.

Now the only way in is loopback, or a network that was declared trusted by --insecure: the principal
is `local`, and the actor is what the caller says of itself. Keys and TLS will resolve to others
here."""

import contextvars
import functools
import ipaddress
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import unquote


class Caller(NamedTuple):
    """Where a call comes from: bounds are kept for each address, turns go round its connections."""

    address: str
    connection: str


NOBODY = Caller("", "")

actor: contextvars.ContextVar[str] = contextvars.ContextVar("actor")
"""Of the call at hand: `cli:<user>`, or `local` when the caller does not say."""

caller: contextvars.ContextVar[Caller] = contextvars.ContextVar("caller", default=NOBODY)
"""Of the call at hand."""


def resolve(metadata: Iterable[Any]) -> str:
    said = next((value for key, value in metadata if key == "hodei-actor"), "")
    return _name(said.decode(errors="replace") if isinstance(said, bytes) else said)


@functools.lru_cache(1000)
def _name(said: str) -> str:
    return "".join(c for c in said if c.isprintable() and not c.isspace())[:200] or "local"


@functools.lru_cache(1000)
def calling(peer: str) -> Caller:
    """Of gRPC's words for a peer, as ipv4:192.0.2.1:40312 or ipv6:%5B2001:db8::1%5D:40312. Of an
    IPv6 address its network of 64 bits counts: whoever has one has all of it."""
    kind, _, rest = unquote(peer).partition(":")
    host = rest.rpartition(":")[0].strip("[]").partition("%")[0]
    if kind == "ipv6":
        try:
            address = ipaddress.IPv6Address(host)
        except ValueError:
            return Caller(host, peer)
        if address.ipv4_mapped:
            host = str(address.ipv4_mapped)
        elif not address.is_loopback:
            host = str(ipaddress.IPv6Network((address, 64), strict=False))
    return Caller(host or peer, peer)
