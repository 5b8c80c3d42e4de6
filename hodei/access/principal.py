"""Who calls: every call is answered for an actor, and counted for the address it comes from.

Now the only way in is loopback, or a network that was declared trusted by --insecure: the actor is
what the caller says of itself. A way in (hodei/rpc) sets both before it does anything of a call."""

import contextvars
import functools
from typing import NamedTuple


class Caller(NamedTuple):
    """Where a call comes from: bounds are kept for each address, and turns go round its
    connections."""

    address: str
    connection: str


NOBODY = Caller("", "")

actor: contextvars.ContextVar[str] = contextvars.ContextVar("actor")
"""The actor of the call at hand, for the audit: `cli:<user>`, or `local` when the caller does not
say."""

caller: contextvars.ContextVar[Caller] = contextvars.ContextVar("caller", default=NOBODY)
"""The caller of the call at hand."""


@functools.lru_cache(1000)
def actor_name(said: str) -> str:
    """Returns what a caller says of itself, as an actor: 200 characters at most, printable and
    without spaces."""
    return "".join(c for c in said if c.isprintable() and not c.isspace())[:200] or "local"
