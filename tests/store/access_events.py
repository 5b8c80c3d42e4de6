"""Events of callers with API keys, and of the keys, for tests/store/test_events.py."""

from uuid import UUID, uuid4

from hodei.domain import api_key
from hodei.domain.actor import Actor
from hodei.domain.spec import normalise
from hodei.store import (
    api_keys,
    audit_events,
    cancels,
    creation,
    results,
    worker_bootstrap_tokens,
    workers,
)
from hodei.store.api_keys import NewKey
from hodei.store.audit_events import AuditKind
from hodei.store.database import Connection
from tests.factories import ready_worker, running_job, word


async def keys(conn: Connection) -> None:
    for project, expires_s, on_behalf_of in ((None, None, ""), ("blue", 60.0, "cli:ana")):
        key = api_key.make("viewer")
        new = NewKey(key, "ci", "viewer", project, expires_s, "api:root", on_behalf_of)
        assert await api_keys.create(conn, new)
        assert await api_keys.revoke(conn, key.id, "api:root", on_behalf_of)
    failed = AuditKind.LOGIN_FAILED
    for key_id in ("abc", None):
        payload = {"address": "192.0.2.7", "calls": 2, "key_id": key_id}
        await audit_events.write(conn, failed, "192.0.2.7", "system:access", payload)


async def for_somebody(conn: Connection) -> None:
    """Done by callers with a key, who say for whom."""
    actor = Actor("api:ci", "cli:ana")
    new = creation.NewJob(uuid4(), actor, normalise('{"command": "true"}').normal)
    await creation.create(conn, [new])
    await cancels.cancel_queued(conn, new.id, actor)
    held = await running_job(conn, await ready_worker(conn))
    await cancels.request_cancel(conn, held.job_id, actor)
    await results.record_results(conn, [word(held, "CANCELLED")])
    worker = await ready_worker(conn)
    await workers.drain(conn, worker.id, actor)
    await workers.revoke(conn, worker.id, actor)
    token = await worker_bootstrap_tokens.mint(conn, UUID(int=0), 3600, actor)
    await worker_bootstrap_tokens.revoke(conn, str(token.token), actor)
