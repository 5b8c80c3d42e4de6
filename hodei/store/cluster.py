"""The id of this database, by which workers tell it from others."""

import uuid

from hodei.store.database import Connection
from hodei.store.statements import rows

CLUSTER_ID = """
SELECT s.cluster_id
FROM hodei_schema s
"""


async def cluster_id(conn: Connection) -> uuid.UUID:
    """Returns the id that was drawn when the schema was applied first."""
    found: uuid.UUID = (await rows(conn, CLUSTER_ID))[0][0]
    return found
