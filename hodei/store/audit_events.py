"""Events that are about no job and no worker: of keys, secrets, projects and refused calls
(docs/events.md)."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from psycopg.types.json import Jsonb

from hodei.store.database import Connection
from hodei.store.statements import execute


class AuditKind(StrEnum):
    """The kinds of such events; docs/events.md has their payloads."""

    KEY_CREATED = "KeyCreated"
    KEY_REVOKED = "KeyRevoked"
    LOGIN_FAILED = "LoginFailed"
    DATABASE_RESTORED = "DatabaseRestored"
    SECRET_SET = "SecretSet"  # noqa: S105  a kind
    SECRET_REMOVED = "SecretRemoved"  # noqa: S105
    SECRETS_ROTATED = "SecretsRotated"
    PROVIDER_ADDED = "ProviderAdded"
    PROVIDER_PAUSED = "ProviderPaused"
    PROVIDER_RESUMED = "ProviderResumed"
    PROVIDER_ENGINE_ADOPTED = "ProviderEngineAdopted"
    PROVIDER_REMOVED = "ProviderRemoved"


WRITE = """
INSERT INTO domain_events (
    occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
VALUES (
    clock_timestamp(),
    %(kind)s::text,
    %(about)s::text,
    %(about)s::text,
    %(actor)s::text,
    %(payload)s::jsonb)
"""


async def write(
    conn: Connection,
    kind: AuditKind,
    about: str,
    actor: str,
    payload: Mapping[str, Any],
    *,
    on_behalf_of: str = "",
) -> None:
    """Writes an event, which belongs into the transaction of the change that it tells of. `about`
    is its aggregate_id. Values of the payload that are None are left out, as keys of events never
    are null; `on_behalf_of` is added to it where the caller has said something."""
    said = {key: value for key, value in payload.items() if value is not None}
    if on_behalf_of:
        said["on_behalf_of"] = on_behalf_of
    parameters = {"kind": kind, "about": about, "actor": actor, "payload": Jsonb(said)}
    await execute(conn, WRITE, parameters)
