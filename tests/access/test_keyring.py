"""The keys that a server knows, on a real database that goes away."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from hodei.access import failed_logins, keyring
from hodei.access.failed_logins import FailedLogins
from hodei.access.keyring import Keyring
from hodei.access.limits import Limits
from hodei.domain import api_key
from hodei.domain.api_key import ApiKey
from hodei.domain.errors import HodeiError, Unauthenticated, Unavailable
from hodei.store import api_keys
from hodei.store.api_keys import NewKey
from hodei.store.database import Database
from tests.conftest import Connection


async def stored(database: Database, name: str = "ci", expires_s: float | None = None) -> ApiKey:
    new = NewKey(api_key.make("viewer"), name, "viewer", None, expires_s, "api:root")
    assert await database.run(lambda conn: api_keys.create(conn, new))
    return new.key


def header(key: ApiKey) -> str:
    return f"Bearer {key.text}"


def with_keyring(url: str, work: Callable[[Database, Keyring], Awaitable[None]]) -> None:
    async def run() -> None:
        async with Database(url) as database:
            ring = Keyring(database, Limits(database).database)
            await ring.read()
            await work(database, ring)

    asyncio.run(run())


def test_a_known_key_outlives_the_database_for_a_while(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(database: Database, ring: Keyring) -> None:
        known, unknown = await stored(database), await stored(database)
        assert await ring.look_up(header(known), known) is ring.recall(header(known))
        await database.pool.close()
        await ring.read()
        assert ring.recall(header(known))
        with pytest.raises(Unavailable, match="cannot be read"):
            await ring.look_up(header(unknown), unknown)
        monkeypatch.setattr(keyring, "KEEP_S", 0.0)
        assert ring.recall(header(known)) is None
        with pytest.raises(Unavailable, match="could not be read for 0 s"):
            await ring.look_up(header(known), known)

    with_keyring(database_url, work)


async def ends(ring: Keyring, key: ApiKey, cause: Callable[[], Awaitable[None]]) -> HodeiError:
    """What a stream of a key ends with, when something has happened."""
    known = ring.recall(header(key)) or await ring.look_up(header(key), key)
    begun = asyncio.Event()

    async def stream() -> None:
        with ring.held(known):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(stream())
    await begun.wait()
    await cause()
    with pytest.raises(HodeiError) as ended:
        async with asyncio.timeout(10):
            await task
    return ended.value


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("UPDATE api_keys SET revoked_at = now()", r"ci \(\w{12}\) was revoked"),
        ("UPDATE api_keys SET expires_at = now() - interval '1 s'", r"ci \(\w{12}\) has expired"),
        (
            "ALTER TABLE api_keys DROP CONSTRAINT api_keys_role_check;"
            " UPDATE api_keys SET role = 'none'",
            r"ci \(\w{12}\) has the role 'none', which there is not",
        ),
        ("DELETE FROM api_keys", "there is no such key"),
    ],
)
def test_a_stream_ends_when_its_key_does(
    database_url: str, db: Connection, change: str, words: str
) -> None:
    async def work(database: Database, ring: Keyring) -> None:
        key = await stored(database)

        async def cause() -> None:
            db.execute(change.encode())
            await ring.read()

        error = await ends(ring, key, cause)
        assert isinstance(error, Unauthenticated)
        with pytest.raises(Unauthenticated, match=words):
            raise error
        with pytest.raises(Unauthenticated, match=words):
            await ring.look_up(header(key), key)

    with_keyring(database_url, work)


def test_a_stream_ends_when_nobody_can_tell_any_more(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def work(database: Database, ring: Keyring) -> None:
        key = await stored(database)

        async def cause() -> None:
            await database.pool.close()
            monkeypatch.setattr(keyring, "KEEP_S", 0.0)
            await ring.read()

        assert isinstance(await ends(ring, key, cause), Unavailable)

    with_keyring(database_url, work)


def test_a_key_that_was_made_here_counts_at_once(database_url: str) -> None:
    """Not only when the keys are read: calls without one are refused from then on, and the next key
    need not be an admin's."""

    async def work(database: Database, ring: Keyring) -> None:
        assert not ring.some_exist()
        await stored(database)
        ring.key_was_made()
        assert ring.some_exist()
        await ring.read()
        assert ring.some_exist()

    with_keyring(database_url, work)


class Later:
    """The clock of the keyring, at a moment that a test has chosen."""

    def __init__(self, now_s: float) -> None:
        self.monotonic = lambda: now_s


def test_a_key_expires_by_itself(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def work(database: Database, ring: Keyring) -> None:
        key = await stored(database, expires_s=30.0)
        known = await ring.look_up(header(key), key)
        monkeypatch.setattr(keyring, "time", Later(known.until - 0.001))
        assert ring.recall(header(key)) is known
        monkeypatch.setattr(keyring, "time", Later(known.until))
        assert ring.recall(header(key)) is None
        with pytest.raises(Unauthenticated, match="has expired"):
            await ring.look_up(header(key), key)

    with_keyring(database_url, work)


def test_unknown_ids_and_wrong_secrets_are_answered_alike(database_url: str) -> None:
    async def work(database: Database, ring: Keyring) -> None:
        key, other = await stored(database), api_key.make("viewer")
        said = []
        for wrong in (other, other._replace(id=key.id)):
            with pytest.raises(Unauthenticated) as refused:
                await ring.look_up(header(wrong), wrong)
            said.append(str(refused.value))
        assert said == [keyring.INVALID] * 2

    with_keyring(database_url, work)


def test_the_oldest_known_key_makes_room(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyring, "MOST_KNOWN", 2)

    async def work(database: Database, ring: Keyring) -> None:
        keys = [await stored(database) for _ in range(3)]
        for key in keys:
            await ring.look_up(header(key), key)
        assert [bool(ring.recall(header(key))) for key in keys] == [False, True, True]
        assert await ring.look_up(header(keys[0]), keys[0])

    with_keyring(database_url, work)


def test_refused_calls_are_written_once_and_then_counted(
    database_url: str, db: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failed_logins, "MOST_KEYS", 2)

    async def work(database: Database, _ring: Keyring) -> None:
        failed = FailedLogins(database)
        for number in range(4):
            failed.count("192.0.2.7", f"key{number}", "it is not valid")
        for _ in range(2):
            await failed._write_due()
        failed.count("192.0.2.7", "key0", "it is not valid")
        await failed._write_due()
        monkeypatch.setattr(failed_logins, "WRITE_EVERY_S", 0.0)
        await failed._write_due()
        await failed._write_due()
        assert failed._counts == {}, "nothing of it is kept"

    with_keyring(database_url, work)
    asked = "SELECT payload ->> 'key_id', payload ->> 'calls' FROM domain_events ORDER BY id"
    found = [("key0", "1"), ("key1", "1"), (None, "2"), ("key0", "1")]
    assert db.execute(asked.encode()).fetchall() == found
