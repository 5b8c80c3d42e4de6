"""Who makes a gRPC call, from its peer and its metadata (hodei/access/principal.py)."""

import functools
import ipaddress
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

from hodei.access.principal import Caller, Principal, actor_name
from hodei.access.roles import Role


def resolve(metadata: Iterable[Any]) -> Principal:
    """The principal that the metadata `hodei-actor` names. It may do everything: the only way in is
    loopback, or a network that was declared trusted by --insecure."""
    said = next((value for key, value in metadata if key == "hodei-actor"), "")
    actor = actor_name(said.decode(errors="replace") if isinstance(said, bytes) else said)
    return Principal(actor, Role.ADMIN, None)


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
