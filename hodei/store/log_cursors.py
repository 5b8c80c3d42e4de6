"""Cursors of logs that a hand has set beyond what is stored. Chunks that end before a cursor seem to be
stored: they would be lost, and the job would wait for room for its output."""

import uuid
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hodei.store.database import Connection
from hodei.store.job_logs import Chunk, Stored
from hodei.store.leases import Claimant
from hodei.store.parameters import arrays
from hodei.store.statements import guarded_rows


class Begin(NamedTuple):
    """Where the chunks of a lease begin that its worker has sent."""

    lease: int
    worker_id: uuid.UUID
    first_seq: int


def behind(chunks: Sequence[Chunk], stored: Mapping[Claimant, Stored]) -> list[Begin]:
    """Returns where the chunks of those leases begin of which all end before the cursor."""
    last = {Claimant(chunk.lease, chunk.worker_id): chunk.seq for chunk in chunks}
    ahead = {of for of, seq in last.items() if of in stored and stored[of].next_seq > seq + 1}
    if not ahead:
        return []
    seqs = ((Claimant(chunk.lease, chunk.worker_id), chunk.seq) for chunk in reversed(chunks))
    return [Begin(*of, seq) for of, seq in {of: seq for of, seq in seqs if of in ahead}.items()]


LOCK = """
SELECT l.lease
FROM leases l
WHERE l.lease = ANY (%(lease)s::bigint[])
ORDER BY l.lease
FOR UPDATE
"""

# A worker has the chunks only that come from `first_seq` on: those before it were acknowledged.
MEND = """
WITH said AS (
    SELECT *
    FROM unnest(
        %(lease)s::bigint[],
        %(worker_id)s::uuid[],
        %(first_seq)s::bigint[]
    ) AS s (lease, worker_id, first_seq)
), sound AS (
    SELECT l.lease, greatest(s.first_seq, (
               SELECT max(g.seq) + 1
               FROM job_logs g
               WHERE g.job_id = l.job_id
                 AND g.lease = l.lease
                 AND NOT g.late
                 AND g.seq BETWEEN 0 AND 4611686018427387903)) AS log_seq
    FROM said s
    JOIN leases l ON l.lease = s.lease AND l.worker_id = s.worker_id
    WHERE l.lease = ANY (%(lease)s::bigint[])
)
UPDATE leases l
SET log_seq = s.log_seq
FROM sound s
WHERE l.lease = s.lease
  AND l.lease = ANY (%(lease)s::bigint[])
  AND l.log_seq > s.log_seq
RETURNING l.lease
"""


async def mend(conn: Connection, begins: Sequence[Begin]) -> list[int]:
    """Brings cursors back that a hand has set beyond what is stored, and returns their leases. It is
    seen under their locks, by a statement that begins then: no chunk is being stored meanwhile."""
    said = arrays(Begin._fields, begins)
    _, mended = await guarded_rows(conn, (LOCK, {"lease": said["lease"]}), (MEND, said))
    return [lease for (lease,) in mended]
