"""How a worker's credential is renewed: which hashes count, and the next one that it announces.

`sessions.connect` lets a worker in with one of three hashes: that of the credential in force, the
next one, which is in force from then on (the trigger credential_changed moves the others), and the
previous one for PREVIOUS_GOOD_S."""

import uuid
from enum import StrEnum

from hodei.store.database import Connection
from hodei.store.statements import brief_rows, rows

PREVIOUS_GOOD_S = 86_400.0
"""Seconds for which a worker's previous credential is accepted after the change: its state folder
may have been restored from a copy."""


WHY_NOT = """
SELECT w.revoked_at IS NOT NULL
FROM workers w
WHERE w.id = %(worker)s
  AND %(credential)s IN (
      w.credential_sha256, w.next_credential_sha256, w.previous_credential_sha256)
  AND (w.revoked_at IS NOT NULL
       OR w.previous_credential_sha256 IS DISTINCT FROM %(credential)s
       OR w.credential_since > clock_timestamp() - make_interval(secs => %(previous_good_s)s))
"""


class Refused(StrEnum):
    """Why `connect` opened no session."""

    UNKNOWN = "unknown"  # there is no such worker, or this is not its credential
    REVOKED = "revoked"
    DUPLICATE = "duplicate"  # another process holds the stream


async def why_not(conn: Connection, worker_id: uuid.UUID, credential_sha256: bytes) -> Refused:
    """Returns why `connect` opened no session with this credential."""
    parameters = {
        "worker": worker_id,
        "credential": credential_sha256,
        "previous_good_s": PREVIOUS_GOOD_S,
    }
    found = await rows(conn, WHY_NOT, parameters)
    if not found:
        return Refused.UNKNOWN
    return Refused.REVOKED if found[0][0] else Refused.DUPLICATE


ANNOUNCE = """
UPDATE workers w
SET next_credential_sha256 = nullif(%(next)s, w.credential_sha256)
WHERE w.id = %(worker)s
  AND w.session = %(session)s
  AND w.revoked_at IS NULL
RETURNING w.id
"""


async def announce(
    conn: Connection, worker_id: uuid.UUID, session: int, next_sha256: bytes
) -> bool:
    """Keeps the hash of the worker's next secret, in place of one announced before. That of the
    secret in force is no next one. False: another session speaks for the worker, or it is revoked.
    """
    parameters = {"worker": worker_id, "session": session, "next": next_sha256}
    return bool(await brief_rows(conn, ANNOUNCE, parameters))
