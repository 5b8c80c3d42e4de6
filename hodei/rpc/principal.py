"""Who makes a gRPC call, from its peer and its metadata (hodei/access/principal.py)."""

import functools
import ipaddress
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from hodei.access.gate import Said
from hodei.access.principal import Caller


def said_in(metadata: Iterable[Any]) -> Said:
    """What the metadata say of the caller: `hodei-actor`, `authorization`, and whether a proxy
    forwards the call. The first of several counts."""
    actor = authorization = ""
    forwarded = False
    for key, value in metadata:
        if key == "hodei-actor":
            actor = actor or _text(value)
        elif key == "authorization":
            authorization = authorization or _text(value)
        elif key == "forwarded" or key.startswith("x-forwarded-"):
            forwarded = True
    return Said(actor, authorization, forwarded)


def _text(value: str | bytes) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


@functools.lru_cache(1000)
def calling(peer: str) -> Caller:
    """The caller behind gRPC's words for a peer, as ipv4:192.0.2.1:40312 or
    ipv6:%5B2001:db8::1%5D:40312. Of an IPv6 address its network of 64 bits counts, as a host that
    has one of its addresses has all of them."""
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
