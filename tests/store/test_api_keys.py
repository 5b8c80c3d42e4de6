"""API keys in the database: made within a bound, listed, revoked once, and read by servers."""

import psycopg
import pytest

from hodei.domain import api_key
from hodei.store import api_keys
from hodei.store.api_keys import NewKey
from hodei.store.database import Connection as AsyncConnection
from tests.conftest import Connection
from tests.factories import on


def new(name: str = "ci", expires_s: float | None = None) -> NewKey:
    return NewKey(api_key.make("viewer"), name, "viewer", None, expires_s, "api:root")


def test_a_key_is_made_used_and_revoked_once(database_url: str, db: Connection) -> None:
    async def live(conn: AsyncConnection) -> None:
        assert not await api_keys.any_exists(conn)
        made = new()
        shown = await api_keys.create(conn, made)
        assert shown
        assert (shown.state, shown.used_at) == ("USABLE", None)
        for _ in range(2):
            await api_keys.mark_used(conn, [made.key.id, "unknown"])
        (stored,) = (await api_keys.stored(conn, [made.key.id, "unknown"])).values()
        assert made.key.fits(stored.secret_sha256)
        assert stored.usable
        revoked = await api_keys.revoke(conn, made.key.id, "api:root")
        assert revoked
        assert revoked.state == "REVOKED"
        assert revoked.used_at is not None
        assert revoked.used_at % 3_600_000_000 == 0
        assert await api_keys.revoke(conn, made.key.id, "api:root") is None
        assert not (await api_keys.stored(conn, [made.key.id]))[made.key.id].usable
        assert await api_keys.any_exists(conn), "also when none can be used any more"

    on(database_url, live)
    told = "SELECT event_type FROM domain_events ORDER BY id"
    assert db.execute(told.encode()).fetchall() == [("KeyCreated",), ("KeyRevoked",)]


def test_a_key_that_has_expired_cannot_be_used(database_url: str, db: Connection) -> None:
    async def expire(conn: AsyncConnection) -> None:
        made = new(expires_s=60)
        assert await api_keys.create(conn, made)
        await conn.execute("UPDATE api_keys SET expires_at = now() - interval '1 s'")
        stored = (await api_keys.stored(conn, [made.key.id]))[made.key.id]
        assert (stored.usable, (await api_keys.list_newest(conn)).keys[0].state) == (
            False,
            "EXPIRED",
        )

    on(database_url, expire)


def test_a_key_beyond_the_bound_is_not_stored(
    database_url: str, db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "MOST_USABLE", 3)

    async def fill(conn: AsyncConnection) -> None:
        for number in range(3):
            assert await api_keys.create(conn, new(f"k{number}"))
        assert await api_keys.create(conn, new()) is None
        (meant,) = await api_keys.meant(conn, "k1")
        await api_keys.revoke(conn, meant.id, "api:root")
        assert await api_keys.create(conn, new())

    on(database_url, fill)


def test_a_revoked_key_is_told_to_servers(database_url: str, db: Connection) -> None:
    db.execute("LISTEN hodei_key")

    async def revoke(conn: AsyncConnection) -> str:
        made = new()
        await api_keys.create(conn, made)
        await api_keys.revoke(conn, made.key.id, "api:root")
        return made.key.id

    key_id = on(database_url, revoke)
    # One of the creation and one of the end: they may come together.
    assert {notice.payload for notice in db.notifies(timeout=10, stop_after=1)} == {key_id}


@pytest.mark.parametrize(
    "row",
    [
        "('0123456789ab', 'a b', 'viewer', '\\x00')",
        "('0123456789ab', 'ci', 'root', sha256('x'))",
        "('0123456789ab', 'ci', 'viewer', '\\x00')",
        "('0123456789', 'ci', 'viewer', sha256('x'))",
    ],
)
def test_a_row_that_no_server_could_use_is_refused(db: Connection, row: str) -> None:
    insert = f"INSERT INTO api_keys (id, name, role, secret_sha256) VALUES {row}"
    with pytest.raises(psycopg.errors.CheckViolation):
        db.execute(insert.encode())
