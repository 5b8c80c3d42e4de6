"""Who may call what: a call's key, or where it comes from without one, decides its role; its role
decides whether it is answered."""

from typing import NamedTuple

from hodei.access.failed_logins import FailedLogins
from hodei.access.keyring import NO_KEY, Keyring, KnownKey
from hodei.access.principal import Caller, Principal, actor_name
from hodei.access.refusals import Refusals
from hodei.access.roles import Role, may
from hodei.domain import api_key
from hodei.domain.errors import Forbidden, HodeiError, Unauthenticated, Unavailable

SCHEME = "Bearer "

GET_ONE = (
    "set HODEI_API_KEY_FILE to a file that holds one, or run `hodei login`"
    " (`hodei apikey create` makes keys)"
)


class Said(NamedTuple):
    """What a call says of its caller."""

    actor: str  # empty: nothing
    authorization: str  # the header; empty: there is none
    forwarded: bool  # a proxy says that it forwards the call


class Admitted(NamedTuple):
    """A call that is answered."""

    principal: Principal
    key: KnownKey | None


class WithoutKey(NamedTuple):
    """The roles of calls without a key."""

    on_loopback: Role | None
    """On a listener that is bound to loopback, for calls that no proxy forwards. None: ADMIN until
    the first key is made, then `elsewhere`."""
    elsewhere: Role


def without_key(loopback_role: str | None, anonymous_role: str) -> WithoutKey:
    """The roles that a server's flags say."""
    return WithoutKey(Role(loopback_role) if loopback_role else None, Role(anonymous_role))


class Gate:
    """One for all listeners of a server."""

    def __init__(self, keyring: Keyring, failed: FailedLogins, without_key: WithoutKey) -> None:
        self.keyring = keyring
        self._failed = failed
        self._refusals = Refusals()
        self._without_key = without_key

    @property
    def warning(self) -> str:
        """What an operator must know of calls without a key; empty: nothing."""
        role = self._without_key.elsewhere
        if role is Role.NONE:
            return ""
        return (
            f"--anonymous-role {role}: whoever reaches this server has the role {role} without an"
            " API key; hand out keys, then start it without this flag"
        )

    @property
    def closes_with_first_key(self) -> bool:
        """Whether no key exists, and calls without a key may do less once there is one. Unavailable:
        nobody can tell yet."""
        roles = self._without_key
        open_until_then = roles.on_loopback is None and roles.elsewhere is not Role.ADMIN
        return open_until_then and not self.keyring.some_exist()

    async def admit(
        self, least: Role | None, who: Caller, said: Said, *, on_loopback: bool
    ) -> Admitted:
        """Who makes a call to a method with this least role (None: nobody may call it).

        Unauthenticated: it needs a key, or its key is not valid. Forbidden: the role of its key
        does not reach. Unavailable: its key cannot be looked up now. Exhausted: its address is
        refused too often."""
        if said.authorization:
            key = self.keyring.recall(said.authorization) or await self._log_in(who, said)
            principal = key.principal(said.actor and actor_name(said.actor))
            if least is None or not may(principal.role, least):
                raise _forbidden(principal, least)
            return Admitted(principal, key)
        try:
            role = self._role_without_key(said, on_loopback=on_loopback)
        except Unavailable:
            if least is not Role.NONE:
                raise
            role = Role.NONE
        if least is None or not may(role, least):
            await self._refusals.slow_down(who.address)
            raise _key_needed(role, least, on_loopback=on_loopback and not said.forwarded)
        return Admitted(Principal(actor_name(said.actor), role, None), None)

    def _role_without_key(self, said: Said, *, on_loopback: bool) -> Role:
        roles = self._without_key
        if not on_loopback or said.forwarded:
            return roles.elsewhere
        if roles.on_loopback is not None:
            return roles.on_loopback
        return roles.elsewhere if self.keyring.some_exist() else Role.ADMIN

    async def _log_in(self, who: Caller, said: Said) -> KnownKey:
        """The key of a header that was not seen before, or is not valid any more."""
        text = said.authorization
        key = api_key.parse(text.removeprefix(SCHEME)) if text.startswith(SCHEME) else None
        try:
            if key is None:
                raise Unauthenticated(NO_KEY.format(api_key.LENGTH))
            return await self.keyring.look_up(text, key)
        except Unauthenticated as error:
            self._failed.count(who.address, key.id if key else None, str(error))
            await self._refusals.slow_down(who.address)
            raise


def _forbidden(principal: Principal, least: Role | None) -> HodeiError:
    if least is None:
        return Forbidden("nobody may call this method of this server")
    key = principal.actor.removeprefix("api:")
    return Forbidden(
        f"the API key {key} has the role {principal.role}: expected {_at_least(least)} for this"
    )


def _key_needed(role: Role, least: Role | None, *, on_loopback: bool) -> HodeiError:
    if least is None:
        return Forbidden("nobody may call this method of this server")
    has = "" if role is Role.NONE else f" (without one it has the role {role})"
    more = (
        "; --loopback-role of the server lets calls from its host do without" if on_loopback else ""
    )
    return Unauthenticated(
        f"this needs an API key of the role {_at_least(least)}{has}: {GET_ONE}{more}"
    )


def _at_least(least: Role) -> str:
    return str(least) if least in (Role.ADMIN, Role.REGISTRAR) else f"{least} or higher"
