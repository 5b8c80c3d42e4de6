"""What may be asked of API keys and of the audit, and by whom a call is made: the one way in, as
operations.py is for workers and tokens."""

from typing import NamedTuple

from loguru import logger

import hodei
from hodei.access.gate import Gate
from hodei.access.limits import CallersDatabase
from hodei.access.principal import Principal
from hodei.access.projects import check_unbound
from hodei.access.roles import OF_KEYS, Role
from hodei.domain import api_key
from hodei.domain import project as projects
from hodei.domain.api_key import LONGEST_S, NAME, NAME_SHAPE, KeyState
from hodei.domain.errors import Conflict, Invalid, NotFound
from hodei.fleet import access_shapes, audit
from hodei.fleet.audit import EventPage
from hodei.shapes.access import ApiKey, Identity
from hodei.store import api_keys
from hodei.store.api_keys import MOST_USABLE, Key, NewKey
from hodei.store.audit_search import Filter


class Keys(NamedTuple):
    """The newest API keys."""

    keys: list[ApiKey]
    more: bool  # there are older ones


class Access:
    """The verbs. Any of them may raise Unavailable (the database is away) or Exhausted (a limit of
    callers is reached)."""

    def __init__(self, database: CallersDatabase, gate: Gate) -> None:
        self._database = database
        self._gate = gate
        self._log = logger.bind(component="Access")

    def who_am_i(self, who: Principal) -> Identity:
        """Who makes this call."""
        return Identity(
            actor=who.actor,
            role=who.role,
            project=who.project,
            on_behalf_of=who.on_behalf_of or None,
            version=hodei.__version__,
        )

    async def create_key(
        self, name: str, role: str, project: str, expires_s: float, who: Principal
    ) -> ApiKey:
        """Makes a key for a role, in all projects or one, that is valid for `expires_s` (0: it does
        not expire). The answer is the only one that has the key itself. Invalid. Forbidden: the
        caller reaches one project alone. Conflict: there are too many keys, or it is the first and
        no admin's, so that nobody could make a second one."""
        check_unbound(who)
        if role != Role.ADMIN and self._gate.closes_with_first_key:
            raise Conflict(
                "the first API key must be of the role admin: from then on calls without a key are"
                " refused, and only an admin can make another one"
            )
        key = new_key(name, role, project, expires_s, who.actor, who.on_behalf_of)
        made = await self._database.run(lambda conn: api_keys.create(conn, key))
        if made is None:
            raise Conflict(
                f"there are {MOST_USABLE} API keys that can be used: expected fewer; revoke some first"
            )
        self._gate.keyring.key_was_made()
        self._log.info("API key {} ({}, {}) was made by {}", made.id, name, role, who.actor)
        return access_shapes.of_key(made, text=key.key.text)

    async def list_keys(self, who: Principal) -> Keys:
        """The newest keys. Forbidden: the caller reaches one project alone."""
        check_unbound(who)
        found, more = await self._database.run(api_keys.list_newest)
        return Keys([access_shapes.of_key(row) for row in found], more)

    async def revoke_key(self, which: str, who: Principal) -> ApiKey:
        """Ends a key for ever, by its id, its name or itself. NotFound. Invalid: several keys have this
        name. Conflict: it was revoked before. Forbidden: the caller reaches one project alone."""
        check_unbound(who)
        if "\0" in which:
            raise Invalid("key: expected text without NUL")
        which = api_key.id_of(which) or which
        meant = _one_of(which, await self._database.run(lambda conn: api_keys.meant(conn, which)))
        revoked = await self._database.run(
            lambda conn: api_keys.revoke(conn, meant.id, who.actor, who.on_behalf_of)
        )
        if revoked is None:
            raise Conflict(f"the API key {meant.name} ({meant.id}) was revoked before")
        self._gate.keyring.wake()
        self._log.info("API key {} ({}) was revoked by {}", meant.id, meant.name, who.actor)
        return access_shapes.of_key(revoked)

    async def list_events(
        self, wanted: Filter, before: int | None, limit: int, who: Principal
    ) -> EventPage:
        """Events of the audit (audit.page_of has the rules and errors). Forbidden: the caller
        reaches one project alone."""
        check_unbound(who)
        return await audit.page_of(self._database, wanted, before, limit)


def new_key(
    name: str, role: str, project: str, expires_s: float, actor: str, on_behalf_of: str = ""
) -> NewKey:
    """A new key, which is to be stored. Invalid: one of its fields is wrong."""
    if not NAME.fullmatch(name):
        raise Invalid(f"name: expected {NAME_SHAPE}, got {name[:80]!r}")
    if role not in OF_KEYS:
        raise Invalid(f"role: expected one of {', '.join(OF_KEYS)}, got {role[:80]!r}")
    if project:
        projects.checked(project)
    if project and role == Role.REGISTRAR:
        raise Invalid(
            f"project: expected none for the role {role}, got {project}: workers are registered for"
            " all projects, and a worker's own --project limits what it takes"
        )
    if not (expires_s == 0 or 1 <= expires_s <= LONGEST_S):
        raise Invalid(f"expires: expected 1 to {LONGEST_S:.0f} seconds, got {expires_s:g}")
    made = api_key.make(role)
    return NewKey(made, name, role, project or None, expires_s or None, actor, on_behalf_of)


def _one_of(which: str, meant: list[Key]) -> Key:
    """The key with this id, or the only one with this name that was not revoked."""
    by_id = [key for key in meant if key.id == which]
    live = [key for key in meant if key.state is not KeyState.REVOKED]
    found = by_id or live or meant[:1]
    if not found:
        raise NotFound(
            f"no API key {which[:80]}: expected the id or the name that `hodei apikey list` shows"
        )
    if len(found) > 1:
        ids = ", ".join(key.id for key in found)
        raise Invalid(f"several API keys have the name {which}: expected one of their ids, {ids}")
    return found[0]
