"""What administrators may ask of secrets. A value comes in and never goes out again: it goes to
the workers of the jobs that name it, and to nobody else."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import psycopg

from hodei.access.limits import CallersDatabase
from hodei.access.principal import Principal
from hodei.access.projects import check_unbound
from hodei.domain import project as projects
from hodei.domain.errors import Conflict, Forbidden, Invalid, Locked, NotFound
from hodei.domain.secret import LEAST_BYTES, MOST_BYTES, NAME, NAME_SHAPE
from hodei.secrets.keys import Damaged, NoKey, SecretKeys
from hodei.shapes.fleet import Secret
from hodei.store import audit_events, secrets, servers
from hodei.store.audit_events import AuditKind
from hodei.store.database import Connection
from hodei.store.secrets import MOST_OF_A_PROJECT, Listed, Sealed

_NAME = re.compile(NAME.replace("$", r"\Z"))


class SecretList(NamedTuple):
    """The secrets by project and name."""

    secrets: list[Secret]
    more: bool


class Rotated(NamedTuple):
    """What a rotation did."""

    rotated: int  # versions that were encrypted anew
    key_id: str


class Secrets:
    """The verbs. Any of them may raise Unavailable (the database is away), Exhausted (a limit of
    callers is reached) or Forbidden (the caller reaches another project only)."""

    def __init__(self, database: CallersDatabase, keys: SecretKeys) -> None:
        self._database = database
        self._keys = keys

    async def set(
        self, name: str, value: str, project: str, who: Principal, *, allow_short: bool
    ) -> Secret:
        """Stores a new version, which offers get from now on. Invalid: no secret can have this name
        or value. Conflict: this server has no key, or the project has too many secrets. Locked:
        somebody else sets it at the same time."""
        _check_name(name)
        _check_value(value, allow_short=allow_short)
        self._need_key()
        project = _project(project, who)

        async def store(conn: Connection) -> Listed:
            async with conn.transaction():
                version, others = await secrets.next_version(conn, project, name)
                if others >= MOST_OF_A_PROJECT:
                    raise Conflict(
                        f"project {project} has {others} secrets: expected at most"
                        f" {MOST_OF_A_PROJECT}; remove one"
                    )
                sealed = self._keys.seal(project, name, version, value)
                made = await secrets.put(conn, sealed, who.actor)
                await _tell(conn, AuditKind.SECRET_SET, made, who)
                return made

        try:
            return _shape(await self._database.run(store))
        except psycopg.errors.UniqueViolation:
            raise Locked(f"secret {name} is being set by another call; try again") from None

    async def list(self, project: str, who: Principal) -> SecretList:
        """The secrets of a project, or of all that the caller may see."""
        wanted = _project(project, who) if project or who.project else None
        found = await self._database.run(lambda conn: secrets.listed(conn, wanted))
        return SecretList(
            [_shape(row) for row in found[:MOST_OF_A_PROJECT]], len(found) > MOST_OF_A_PROJECT
        )

    async def remove(self, name: str, project: str, who: Principal) -> Secret:
        """Ends a secret: jobs that name it do not start any more; those that run go on. NotFound."""
        _check_name(name)
        project = _project(project, who)

        async def end(conn: Connection) -> Listed | None:
            async with conn.transaction():
                removed = await secrets.end(conn, project, name)
                if removed:
                    await _tell(conn, AuditKind.SECRET_REMOVED, removed, who)
                return removed

        removed = await self._database.run(end)
        if removed is None:
            raise NotFound(f"no secret {name} in project {project}: `hodei secret list` shows them")
        return _shape(removed)

    async def rotate(self, who: Principal) -> Rotated:
        """Encrypts every version with the first key of this server. What was done stands when it
        breaks off; the same call goes on. Conflict: this server has no key, a server that listens
        lacks this one, or a version is encrypted with a key that is not here. Forbidden: the caller
        reaches one project alone."""
        check_unbound(who)
        self._need_key()
        key_id, done = self._keys.first, 0
        if lacking := await self._database.run(lambda conn: servers.without_key(conn, key_id)):
            raise Conflict(
                f"{lacking[0]} does not have the key {key_id}: give every server that"
                " --secret-key-file (not as the first one), then rotate"
            )
        while rows := await self._database.run(lambda conn: secrets.otherwise_sealed(conn, key_id)):
            done += await self._reseal(rows)

        async def tell(conn: Connection) -> None:
            payload = {"key_id": key_id, "rotated": done}
            await audit_events.write(
                conn,
                AuditKind.SECRETS_ROTATED,
                key_id,
                who.actor,
                payload,
                on_behalf_of=who.on_behalf_of,
            )

        if done:
            await self._database.run(tell)
        return Rotated(done, key_id)

    async def _reseal(self, rows: Sequence[Sealed]) -> int:
        """Returns how many rows were encrypted anew."""
        try:
            anew = [(row, self._keys.seal(*row[:3], self._keys.open(row))) for row in rows]
        except (NoKey, Damaged) as error:
            raise Conflict(str(error)) from None

        async def store(conn: Connection) -> int:
            async with conn.transaction():
                return sum([await secrets.reseal(conn, new, old.key_id) for old, new in anew])

        return await self._database.run(store)

    def _need_key(self) -> None:
        if not self._keys.ids:
            raise Conflict(
                "this server has no key for secrets: start every server with --secret-key-file FILE,"
                " the same file; `openssl rand -hex 32` makes a key"
            )


async def _tell(conn: Connection, kind: AuditKind, row: Listed, who: Principal) -> None:
    payload = {"project": row.project, "name": row.name, "version": row.version}
    about = f"{row.project}/{row.name}"
    await audit_events.write(conn, kind, about, who.actor, payload, on_behalf_of=who.on_behalf_of)


def _check_name(name: str) -> None:
    """Invalid does not quote it: a value may stand in the place of the name."""
    if not _NAME.search(name):
        raise Invalid(f"secret: expected {NAME_SHAPE}; got {len(name)} characters of another form")


def _check_value(value: str, *, allow_short: bool) -> None:
    size = len(value.encode())
    if "\0" in value:
        raise Invalid("value: expected text without NUL, which no variable can hold")
    if size > MOST_BYTES:
        raise Invalid(f"value: expected at most {MOST_BYTES} bytes, got {size}")
    if not size:
        raise Invalid("value: expected at least 1 byte, got none")
    if size < LEAST_BYTES and not allow_short:
        raise Invalid(
            f"value: expected at least {LEAST_BYTES} bytes, got {size}: a shorter one is found in"
            " everything that a job writes (--allow-short takes it)"
        )


def _project(given: str, who: Principal) -> str:
    """The project that is meant. Invalid: none can have this name. Forbidden: the caller reaches
    another one only."""
    project = projects.checked(given or who.project or projects.DEFAULT)
    if who.project not in (None, project):
        raise Forbidden(f"project {project}: this key reaches only project {who.project}")
    return project


def _shape(row: Listed) -> Secret:
    return Secret(**row._asdict())
