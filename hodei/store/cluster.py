"""Which database this is: the id by which workers tell it from others, and whether it is a copy."""

import uuid
from typing import LiteralString, NamedTuple

from hodei.domain.errors import Conflict, Unavailable
from hodei.store.connecting import connect, in_words
from hodei.store.database import Connection
from hodei.store.statements import rows
from hodei.store.untimed import untimed


class Cluster(NamedTuple):
    """The database's id, and the two places: where it was when the id was drawn or adopted, and
    where it is."""

    cluster_id: uuid.UUID
    lived_in: str  # empty: a release before this one drew the id
    lives_in: str

    @property
    def is_copy(self) -> bool:
        """Whether this is a copy: PostgreSQL's system identifier or the oid of the database is
        another one. What a role may not read (a question mark) does not count."""
        before, now = self.lived_in.partition("/"), self.lives_in.partition("/")
        pairs = [(before[0], now[0]), (before[2], now[2])]
        return any("?" not in pair and "" not in pair and pair[0] != pair[1] for pair in pairs)


WHERE: LiteralString = """
SELECT s.cluster_id, coalesce(s.lives_in, ''), hodei_lives_in()
FROM hodei_schema s
"""


async def where(conn: Connection) -> Cluster:
    """Returns which database this is. Unavailable: a hand has deleted the row that says it."""
    found = await rows(conn, WHERE)
    if not found:
        raise Unavailable("table hodei_schema is empty: run `hodei db apply`")
    return Cluster(*found[0])


ADOPT: LiteralString = """
UPDATE hodei_schema s
SET cluster_id = CASE WHEN %(keep_id)s THEN s.cluster_id ELSE gen_random_uuid() END,
    lives_in = hodei_lives_in()
RETURNING s.cluster_id
"""


class Adopted(NamedTuple):
    """What became of a database."""

    was_copy: bool
    cluster_id: uuid.UUID  # its id now


def adopt_sync(url: str, *, keep_id: bool) -> Adopted:
    """Makes a copy a database of its own, with a new id unless `keep_id`. A database that is no copy
    stays as it is. Conflict, Unavailable: it cannot be done."""
    with (
        connect(url, "hodei db adopt-copy") as conn,
        in_words("the copy could not be adopted"),
        untimed(conn, write=True),
    ):
        row = conn.execute(WHERE).fetchone()
        if row is None:
            raise Conflict("the schema has no id: run `hodei db apply` first")
        found = Cluster(*row)
        if not found.is_copy:
            return Adopted(False, found.cluster_id)
        adopted = conn.execute(ADOPT, {"keep_id": keep_id}).fetchone()
        return Adopted(True, adopted[0] if adopted else found.cluster_id)
