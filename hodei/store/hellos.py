"""What counts of a worker's hello before its session is stored. To store it may take long: somebody
has locked the worker's row, or a trigger of somebody is slow."""

import uuid
from collections.abc import Sequence

from hodei.store.database import Connection
from hodei.store.parameters import array
from hodei.store.statements import brief_rows

KEPT_S = 30.0
"""Seconds for which a hello keeps offers: longer than until the next hello of a worker that got no
answer."""

KEEP = """
UPDATE leases l
SET accept_by = greatest(l.accept_by, clock_timestamp() + make_interval(secs => %(kept_s)s))
WHERE l.lease = ANY (%(leases)s::bigint[])
  AND l.worker_id = %(worker)s::uuid
  AND l.accepted_at IS NULL
"""


async def keep(conn: Connection, worker_id: uuid.UUID, taken: Sequence[int]) -> None:
    """Keeps offers with the worker of which its hello says that slots have taken them: `taken`. They
    are accepted once its stream stands."""
    said = {"worker": worker_id, "leases": array(list(taken)), "kept_s": KEPT_S}
    await brief_rows(conn, KEEP, said)


# A row that another process has left connected stays as it is: a new heartbeat would be that one's,
# and keep this process away.
VOUCH = """
UPDATE workers w
SET last_heartbeat = clock_timestamp()
WHERE w.id = %(worker)s::uuid
  AND w.state <> 'TERMINATED'
  AND w.revoked_at IS NULL
  AND (NOT w.connected OR w.instance = %(instance)s::uuid)
"""


async def vouch(conn: Connection, worker_id: uuid.UUID, instance: uuid.UUID) -> None:
    """Writes down that a worker lives whose session cannot be stored."""
    await brief_rows(conn, VOUCH, {"worker": worker_id, "instance": instance})
