"""Versions of secrets and the leases that name them, and what becomes of rows that a hand exchanges."""

import asyncio
import uuid
from pathlib import Path

import pytest

from hodei.domain.errors import Invalid
from hodei.secrets.keys import Damaged, NoKey, SecretKeys, key_id, read
from hodei.secrets.values import SecretReader
from hodei.store import secrets
from hodei.store.database import Connection as AsyncConnection
from hodei.store.database import Database
from hodei.store.leases import Claimant
from tests.conftest import Connection
from tests.factories import on, ready_worker, running_job

KEYS = SecretKeys([b"a" * 32])


async def put(conn: AsyncConnection, name: str, value: str, project: str = "default") -> int:
    version, _ = await secrets.next_version(conn, project, name)
    await secrets.put(conn, KEYS.seal(project, name, version, value), "cli:ana")
    return version


async def _versions(conn: AsyncConnection) -> None:
    worker = await ready_worker(conn)
    assert await put(conn, "token", "first") == 1
    held = await running_job(conn, worker)
    other = await running_job(conn, worker)
    (given,) = await secrets.give(conn, [(held.lease, "token")])
    assert given.secret
    assert KEYS.open(given.secret) == "first"
    assert await put(conn, "token", "second") == 2
    assert await put(conn, "token", "third") == 3
    await conn.execute("UPDATE secrets SET ended_at = ended_at - interval '1 hour'")
    assert await secrets.delete_ended(conn) == 1, "no lease names the second"
    (kept,) = await secrets.of_leases(conn, [Claimant(held.lease, worker.id)])
    assert kept == given
    assert await secrets.of_leases(conn, [Claimant(held.lease, uuid.uuid4())]) == []
    assert await secrets.of_leases(conn, [Claimant(other.lease, worker.id)]) == []
    await conn.execute("DELETE FROM leases WHERE lease = %s", [held.lease])
    assert await secrets.delete_ended(conn) == 1
    assert await secrets.end(conn, "default", "token")
    assert not await secrets.end(conn, "default", "token")
    (gone,) = await secrets.give(conn, [(other.lease, "token")])
    assert gone.secret is None
    assert await put(conn, "token", "fourth") == 4


def test_a_version_is_kept_until_no_lease_names_it(database_url: str, db: Connection) -> None:
    on(database_url, _versions)


async def _given(url: str) -> None:
    async with Database(url) as database:
        values = SecretReader(database, KEYS)
        async with database.pool.connection() as conn:
            worker = await ready_worker(conn)
            jobs = [await running_job(conn, worker) for _ in range(4)]
            await put(conn, "here", "of default")
            await put(conn, "here", "of blue", "blue")
            await put(conn, "only-blue", "of blue", "blue")
            for number in range(5):
                await put(conn, f"large{number}", "x" * 60_000)
            await put(conn, "damaged", "y" * 20)
            await conn.execute(
                "UPDATE secrets SET sealed = sealed || '\\x00' WHERE name = 'damaged'"
            )
        first, second, third, fourth = (job.lease for job in jobs)
        large = [f"large{number}" for number in range(5)]
        outcomes = await values.give(
            {first: ["here"], second: ["here", "only-blue"], third: large, fourth: ["damaged"]}
        )
        assert outcomes[first].values == {"here": "of default"}
        assert "secret only-blue: there is none of this name any more" in outcomes[second].refusal
        assert "its secrets have more than 262144 bytes together" in outcomes[third].refusal
        assert "damaged of project default is not what was encrypted" in outcomes[fourth].refusal
        assert "of default" not in repr(outcomes)
        stranger = SecretReader(database, SecretKeys([b"b" * 32]))
        missing = (await stranger.of_leases(worker.id, [first]))[first]
        assert missing.values is None
        assert "does not have the key" in missing.missing_key


def test_what_an_offer_gets(database_url: str, db: Connection) -> None:
    asyncio.run(_given(database_url))


def test_no_row_can_take_the_place_of_another() -> None:
    sealed = KEYS.seal("default", "token", 1, "a value")
    assert KEYS.open(sealed) == "a value"
    for change in (
        {"project": "blue"},
        {"name": "other"},
        {"version": 2},
        {"sealed": sealed.sealed[:-1]},
        {"sealed": b""},
        {"sealed": bytes(12) + sealed.sealed[12:]},
    ):
        with pytest.raises(Damaged):
            KEYS.open(sealed._replace(**change))
    with pytest.raises(NoKey):
        KEYS.open(sealed._replace(key_id="0" * 16))
    assert KEYS.seal("default", "token", 1, "a value").sealed != sealed.sealed


def test_key_files(tmp_path: Path) -> None:
    raw, text = tmp_path / "raw", tmp_path / "text"
    raw.write_bytes(b"\n" * 32)
    text.write_text("0a" * 32 + "\n")
    both = read([str(raw), str(text)])
    assert both.ids == [key_id(b"\n" * 32)], "the same key twice"
    for content, words in (
        (b"", "got 0 bytes"),
        (b"x" * 31, "got 31 bytes"),
        (b"0g" * 32, "got 64 bytes"),
        (b"x" * 1_000_000, "got more than 199 bytes"),
    ):
        raw.write_bytes(content)
        with pytest.raises(Invalid, match=words) as error:
            read([str(raw)])
        assert str(raw) in str(error.value)
    with pytest.raises(Invalid, match="No such file"):
        read([str(tmp_path / "nothing")])
