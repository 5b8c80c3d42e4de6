"""What may be asked of providers of workers on demand; hodei/providers does what their rows say."""

import json
import uuid
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from loguru import logger

from hodei.access.principal import Principal
from hodei.access.projects import check_unbound
from hodei.domain import provider
from hodei.domain.errors import Conflict, Invalid, NotFound
from hodei.domain.text import shown
from hodei.fleet import provider_shapes
from hodei.fleet.which_worker import LEAST_FIRST, LEAST_LAST, part_of
from hodei.shapes.provider import Provider
from hodei.store import provider_view
from hodei.store.database import Connection, Runs
from hodei.store.provider_configs import MOST_CONFIG
from hodei.store.provider_view import MOST_ROWS, New, Shown, Who

LONGEST_NAME = 200

Change = Callable[[Connection, uuid.UUID, Who], Awaitable[bool]]


class List(NamedTuple):
    """Providers, those of the highest priority first."""

    providers: list[Provider]
    more: bool  # there are others


class Providers:
    """The verbs. Any of them may raise Unavailable (the database is away) or Exhausted (a limit of
    callers is reached), and those that change something Forbidden: the caller reaches one project
    alone, and the workers of a provider run the jobs of all. `which` is a name, an id or a part of
    one: NotFound: there is none; Invalid: several fit."""

    def __init__(self, database: Runs) -> None:
        self._database = database
        self._log = logger.bind(component="Providers")

    async def add(
        self,
        name: str,
        provider_type: str,
        config: str,
        max_workers: int,
        priority: int,
        who: Principal,
    ) -> Provider:
        """Adds a provider; `config` is a JSON object. Invalid: a field of it is wrong. Conflict: the
        name is taken, or there are too many providers."""
        check_unbound(who)
        if not 1 <= len(name) <= LONGEST_NAME or shown(name) != name or name != name.strip():
            raise Invalid(
                f"name: expected 1 to {LONGEST_NAME} characters without control characters, got"
                f" {name[:80]!r}"
            )
        if len(config) > MOST_CONFIG:
            raise Invalid(
                f"config: expected at most {MOST_CONFIG} characters of JSON, got {len(config)}"
            )
        kind, text = provider_type or provider.TYPES[0], config or "{}"
        provider.read(uuid.UUID(int=0), name, kind, text, max_workers)
        new = New(name, kind, json.loads(text), priority, max_workers)
        by = Who(who.actor, who.on_behalf_of)
        added = await self._database.run(lambda conn: provider_view.add(conn, new, by))
        if added is None:
            taken = await self._database.run(
                lambda conn: provider_view.meant(conn, name, "", first=False, last=False)
            )
            words = f"there is a provider {name!r}" if taken else f"there are {MOST_ROWS} providers"
            raise Conflict(f"{words}: `hodei provider list` shows them, `remove` removes one")
        self._log.info("provider {} was added by {}", name, who.actor)
        return await self.get(str(added))

    async def get(self, which: str) -> Provider:
        """One provider."""
        return provider_shapes.of_provider(await self._meant(which))

    async def list_all(self) -> List:
        """The providers, at most 1,000."""
        listed = await self._database.run(provider_view.list_all)
        return List([provider_shapes.of_provider(row) for row in listed.providers], listed.more)

    async def pause(self, which: str, who: Principal) -> Provider:
        """Makes no workers any more. Those that are there go on, and idle ones are removed."""
        return await self._change(which, provider_view.pause, "paused", who)

    async def resume(self, which: str, who: Principal) -> Provider:
        """Makes workers again, as if none had failed."""
        return await self._change(which, provider_view.resume, "resumed", who)

    async def adopt_engine(self, which: str, who: Principal) -> Provider:
        """Takes the engine that answers next in place of the first one."""
        words = "told to adopt the engine that answers next"
        return await self._change(which, provider_view.adopt_engine, words, who)

    async def remove(self, which: str, who: Principal, *, force: bool) -> Provider:
        """Deletes a provider, and returns what it was. Conflict: it has workers, and `force` is not
        given."""
        check_unbound(who)
        row = await self._meant(which)
        found = provider_shapes.of_provider(row)
        if found.workers and not force:
            raise Conflict(
                f"provider {found.name} still has workers ({found.workers}): pause it and wait until"
                " none is left, or use --force, which leaves them to another provider of its engine"
            )
        await self._do(row, provider_view.remove, "removed", who)
        return found

    async def _change(self, which: str, change: Change, words: str, who: Principal) -> Provider:
        check_unbound(who)
        row = await self._meant(which)
        await self._do(row, change, words, who)
        return await self.get(str(row.id))

    async def _do(self, row: Shown, change: Change, words: str, who: Principal) -> None:
        by = Who(who.actor, who.on_behalf_of)
        if not await self._database.run(lambda conn: change(conn, row.id, by)):
            raise NotFound(f"no provider {row.id}")
        self._log.info("provider {} was {} by {}", shown(row.name), words, who.actor)

    async def _meant(self, which: str) -> Shown:
        if not 0 < len(which) <= LONGEST_NAME or "\0" in which:
            raise Invalid(
                f"provider: expected a name or an id of at most {LONGEST_NAME} characters, got"
                f" {which[:80]!r}"
            )
        part = part_of(which)
        fitting = await self._database.run(
            lambda conn: provider_view.meant(
                conn, which, part, first=len(part) >= LEAST_FIRST, last=len(part) >= LEAST_LAST
            )
        )
        found = [one for one in fitting if one.name == which] or fitting
        if not found:
            raise NotFound(
                f"no provider {which[:80]!r}: expected a name, an id, its first {LEAST_FIRST} or"
                f" more characters, or its last {LEAST_LAST} or more; `hodei provider list` shows"
                " them"
            )
        if len(found) > 1:
            listed = ", ".join(f"{one.id} ({shown(one.name)})" for one in found[:10])
            more = " and more" if len(found) > 10 else ""
            raise Invalid(
                f"provider {which[:80]!r}: several fit, give the id of one: {listed}{more}"
            )
        return found[0]
