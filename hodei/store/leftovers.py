"""Containers of workers that are gone, which other workers have found on their engines."""

import uuid
from collections.abc import Sequence
from typing import LiteralString, NamedTuple

from hodei.store.database import Connection
from hodei.store.parameters import array
from hodei.store.statements import rows


class Leftover(NamedTuple):
    """A container that carries this cluster's id."""

    lease: int
    job_id: uuid.UUID
    worker_id: uuid.UUID  # that started it


# A worker that is not TERMINATED looks after its own containers. A lost one that comes back is
# refused its leases, and would kill the containers itself.
ABANDONED: LiteralString = """
SELECT f.lease
FROM unnest(%(leases)s::bigint[], %(jobs)s::uuid[], %(workers)s::uuid[])
    AS f (lease, job_id, worker_id)
WHERE NOT EXISTS (
        SELECT FROM leases l WHERE l.lease = f.lease AND l.job_id = f.job_id)
  AND NOT EXISTS (
        SELECT FROM workers w WHERE w.id = f.worker_id AND w.state <> 'TERMINATED')
"""


async def abandoned(conn: Connection, found: Sequence[Leftover]) -> list[int]:
    """Returns the leases of those that nobody will end: the worker is TERMINATED or unknown, and the
    lease does not hold."""
    parameters = {
        "leases": array([one.lease for one in found]),
        "jobs": array([one.job_id for one in found]),
        "workers": array([one.worker_id for one in found]),
    }
    return [row[0] for row in await rows(conn, ABANDONED, parameters)]
