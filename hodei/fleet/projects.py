"""What may be asked of projects: which there are, and which roles of the database may enqueue into
them."""

import uuid
from typing import NamedTuple

from hodei.access.limits import CallersDatabase
from hodei.access.principal import Principal
from hodei.domain import project
from hodei.domain.errors import Invalid, NotFound
from hodei.shapes.fleet import Project
from hodei.store import cluster, project_grants
from hodei.store.database import Connection

LONGEST_ROLE = 63
"""Bytes of the name of a role in PostgreSQL."""


class ProjectList(NamedTuple):
    """Projects by name."""

    projects: list[Project]
    more: bool  # there are further ones
    cluster_id: uuid.UUID  # of the database


class Projects:
    """The verbs. Any of them may raise Unavailable (the database is away) or Exhausted (a limit of
    callers is reached)."""

    def __init__(self, database: CallersDatabase) -> None:
        self._database = database

    async def list_all(self, who: Principal) -> ProjectList:
        """The projects that jobs, keys, secrets or grants name; for a caller that is bound to one, that."""
        listed, place = await self._database.run(lambda conn: _listed(conn, who.project))
        return ProjectList([_shape(one) for one in listed.projects], listed.more, place.cluster_id)

    async def grant(self, role: str, name: str, who: Principal) -> Project:
        """Lets a role of the database, and its members, enqueue into a project by hodei_enqueue.
        Invalid: it is no name of a role or project. NotFound: there is no such role."""
        self._check(role, name)
        if not await self._database.run(
            lambda conn: project_grants.grant(conn, role, name, who.actor, who.on_behalf_of)
        ):
            raise NotFound(f"no role {role!r} in the database: expected one that CREATE ROLE made")
        return await self._one(name)

    async def ungrant(self, role: str, name: str, who: Principal) -> Project:
        """Takes such a grant back. Invalid: as of grant. NotFound: there is no such grant."""
        self._check(role, name)
        if not await self._database.run(
            lambda conn: project_grants.ungrant(conn, role, name, who.actor, who.on_behalf_of)
        ):
            raise NotFound(
                f"role {role!r} has no grant for project {name}; see `hodei project list`"
            )
        return await self._one(name)

    @staticmethod
    def _check(role: str, name: str) -> None:
        project.checked(name)
        if not 0 < len(role.encode(errors="replace")) <= LONGEST_ROLE or "\0" in role:
            raise Invalid(f"role: expected 1 to {LONGEST_ROLE} bytes, got {role[:80]!r}")

    async def _one(self, name: str) -> Project:
        """A project as it is now; it need not be used any more."""
        listed = await self._database.run(lambda conn: project_grants.list_all(conn, name))
        return _shape(listed.projects[0]) if listed.projects else Project(project=name)


async def _listed(
    conn: Connection, name: str | None
) -> tuple[project_grants.Listed, cluster.Cluster]:
    return await project_grants.list_all(conn, name), await cluster.where(conn)


def _shape(row: project_grants.Project) -> Project:
    return Project(project=row.name, keys=row.keys, roles=row.roles)
