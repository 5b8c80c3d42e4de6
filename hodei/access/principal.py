"""Who calls: every call is answered for a principal, and counted for the address it comes from.

A way in (hodei/rpc) sets both before it does anything of a call."""

import contextvars
import functools
from typing import NamedTuple

from hodei.access.roles import Role


class Caller(NamedTuple):
    """Where a call comes from. Quotas are kept for each address. Turns are kept for each key,
    wherever it calls from, or for an address that has none; they go round its connections."""

    address: str
    connection: str
    key_id: str = ""  # empty: it calls without a key

    @property
    def holder(self) -> str:
        """Whose turns it takes."""
        return self.key_id or self.address


NOBODY = Caller("", "")


class Principal(NamedTuple):
    """Who makes a call, and what it may do."""

    actor: str
    """For the audit: `api:` and the name of its key. Without a key what the caller says of itself,
    as `cli:<user>`, or `local` when it says nothing."""

    role: Role

    project: str | None
    """The only project that the caller reaches. None: all of them."""

    on_behalf_of: str = ""
    """What a caller says of itself whose actor is known otherwise."""


NO_PRINCIPAL = Principal("local", Role.NONE, None)

principal: contextvars.ContextVar[Principal] = contextvars.ContextVar(
    "principal", default=NO_PRINCIPAL
)
"""The principal of the call at hand; outside of any call one that may do nothing."""

caller: contextvars.ContextVar[Caller] = contextvars.ContextVar("caller", default=NOBODY)
"""The caller of the call at hand."""


@functools.lru_cache(1000)
def actor_name(said: str) -> str:
    """Returns what a caller says of itself, as an actor: 200 characters at most, printable and
    without spaces."""
    return "".join(c for c in said if c.isprintable() and not c.isspace())[:200] or "local"
