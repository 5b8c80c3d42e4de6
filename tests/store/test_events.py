"""docs/events.md is what is written into domain_events, and names each key that somebody reads."""

import json
import re
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import UUID

import pytest

from hodei.access.principal import Principal
from hodei.access.roles import Role
from hodei.cli.job_events import summary
from hodei.domain import event
from hodei.fleet.secrets import Secrets
from hodei.secrets.keys import SecretKeys
from hodei.store import (
    cancels,
    invariants,
    late_results,
    project_grants,
    provider_view,
    rejections,
    releases,
    restored,
    results,
    sessions,
    worker_bootstrap_tokens,
    workers,
)
from hodei.store.audit_events import AuditKind
from hodei.store.database import Connection as AsyncConnection
from hodei.store.late_results import Late
from hodei.store.leases import Claimant
from tests.conftest import TREE, Connection
from tests.factories import (
    assigned_job,
    expire,
    final_job,
    lost_worker,
    on,
    pending_job,
    ready_worker,
    renewed,
    running_job,
    word,
)
from tests.store import access_events


class Key(NamedTuple):
    type: str
    always: bool
    readers: set[str]


class Kind(NamedTuple):
    keys: dict[str, Key]
    example: dict[str, Any]

    def problems(self, payload: dict[str, Any]) -> list[str]:
        """What this payload has or lacks against the page."""
        missing = {name for name, key in self.keys.items() if key.always} - payload.keys()
        return [
            *(f"{name} is missing" for name in sorted(missing)),
            *(f"{name} does not stand there" for name in sorted(payload.keys() - self.keys)),
            *(
                f"{name} is not of type {key.type}: {payload[name]!r}"
                for name, key in self.keys.items()
                if name in payload and not is_of(key.type, payload[name])
            ),
        ]


TYPES: dict[str, Callable[[Any], bool]] = {
    "id": lambda value: str(UUID(value)) == value,
    "time": lambda value: datetime.fromisoformat(value).tzinfo is not None,
    "text": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "flag": lambda value: isinstance(value, bool),
}


def is_of(type_: str, value: Any) -> bool:
    try:
        return TYPES[type_](value)
    except (TypeError, ValueError, AttributeError):
        return False


def _kinds() -> dict[str, Kind]:
    page = (TREE / "docs/events.md").read_text()
    row = re.compile(r"^\| `(\w+)` \| (\w+) \| (.+?) \| .+? \| (.*?) ?\|$", re.MULTILINE)
    return {
        name: Kind(
            {
                key: Key(type_, when == "always", set(readers.split(", ")) - {""})
                for key, type_, when, readers in row.findall(section)
            },
            json.loads(section.partition("```json\n")[2].partition("```")[0]),
        )
        for name, section in re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", page, re.M | re.S)
    }


KINDS = _kinds()


def test_every_kind_can_be_asked_for() -> None:
    assert sorted(event.KINDS) == sorted(KINDS)
    assert set(AuditKind) <= set(event.KINDS)


async def _jobs(conn: AsyncConnection) -> None:
    """Whatever can happen to a job; each of these leaves the queue empty."""
    worker = await ready_worker(conn, slots=9)
    await final_job(conn, worker)
    await final_job(conn, worker, "FAILED")
    killed = await running_job(conn, worker)
    left = {"leftover_processes": 2, "leftover_unknown": 1}
    await results.record_results(conn, [word(killed, "FAILED", signal=9, **left)])
    at_once = await assigned_job(conn, worker)
    await results.record_results(conn, [word(at_once)])  # before its accept was stored
    for given_back in (False, True):
        offer = await assigned_job(conn, worker)
        await cancels.request_cancel(conn, offer.job_id, "cli:ana")
        if given_back:
            await releases.release(conn, [Claimant(offer.lease, worker.id)], "x", "system:rescuer")
        else:
            await results.record_results(conn, [word(offer, "CANCELLED", ran=False)])
    await cancels.cancel_queued(conn, await pending_job(conn), "cli:ana")
    await pending_job(conn, queue_timeout=60)
    assert await expire(conn) == [], "its term begins when a server first sees it"
    await conn.execute("UPDATE job_queue SET expires_at = now() - interval '1 s'")
    assert len(await expire(conn)) == 1
    await access_events.for_somebody(conn)
    await _again(conn)
    await _by_hand(conn)


async def _again(conn: AsyncConnection) -> None:
    worker = await ready_worker(conn)
    failed = await running_job(conn, worker, retries=1)
    await results.record_results(conn, [word(failed, "FAILED")])
    for outcome, code, signal in (("SUCCEEDED", 0, None), ("FAILED", None, 9)):
        lost = await running_job(conn, worker)
        await results.record_results(conn, [word(lost, "LOST", actor="system:job_rescuer")])
        late = Late(lost.job_id, word(lost, outcome, exit_code=code, signal=signal))
        assert (await late_results.record_late(conn, late)).stored


async def _by_hand(conn: AsyncConnection) -> None:
    worker = await ready_worker(conn)
    await pending_job(conn)
    await pending_job(conn, run_at="2126-01-01T00:00:00Z")
    await conn.execute("DELETE FROM job_queue")
    await conn.execute(
        "UPDATE jobs SET state = 'FAILED', completed_at = now() "
        "WHERE completed_at IS NULL AND attempts > 0"
    )
    assert len(await invariants.mend(conn, (await invariants.look(conn)).jobs)) == 2
    await conn.execute("DELETE FROM job_queue")
    held = await running_job(conn, worker)
    await rejections.set_aside(conn, [held.job_id], "no number", "system:job_rescuer")


async def _fleet(conn: AsyncConnection) -> None:
    token = await worker_bootstrap_tokens.mint(conn, UUID(int=0), 3600, "cli:ana")
    await worker_bootstrap_tokens.revoke(conn, str(token.token), "cli:ana")
    await lost_worker(conn)
    worker = await ready_worker(conn)
    beat = sessions.Heartbeat(worker.id, worker.session, 4, draining=False, current_job_id=None)
    await sessions.beat(conn, [beat], [])
    await renewed(conn, worker, b"r" * 32)
    await workers.drain(conn, worker.id, "cli:ana")
    await sessions.leave(conn, worker.id, worker.session)
    await workers.revoke(conn, (await ready_worker(conn)).id, "cli:ana")


async def _projects(conn: AsyncConnection) -> None:
    for on_behalf_of in ("", "cli:ana"):
        assert await project_grants.grant(conn, "postgres", "shop", "api:root", on_behalf_of)
        assert await project_grants.ungrant(conn, "postgres", "shop", "api:root", on_behalf_of)


async def _restore(conn: AsyncConnection, url: str) -> None:
    """A worker redeemed a token, and one has it still; a claim is lost."""
    token = await worker_bootstrap_tokens.mint(conn, UUID(int=0), 3600, "cli:ana")
    newcomer = worker_bootstrap_tokens.Newcomer(UUID(int=7), b"secret", "w", "1")
    assert await worker_bootstrap_tokens.redeem(conn, token.token, newcomer)
    await worker_bootstrap_tokens.mint(conn, UUID(int=0), 3600, "cli:ana")
    job_id = await pending_job(conn)
    restored.make_safe(url, "cli:ana")
    worker = await ready_worker(conn)
    lost = (await assigned_job(conn, worker))._replace(lease=4711, job_id=job_id)
    assert (await late_results.record_late(conn, Late(job_id, word(lost)))).now


async def _secrets(conn: AsyncConnection) -> None:
    """By the verbs themselves, on this connection."""
    database = SimpleNamespace(run=lambda work: work(conn))
    for number, said in enumerate(("", "cli:ana")):
        keys = [bytes([key]) * 32 for key in range(number + 1, -1, -1)]
        before = Secrets(database, SecretKeys(keys[1:]))  # type: ignore[arg-type]
        after = Secrets(database, SecretKeys(keys))  # type: ignore[arg-type]
        who = Principal("api:ci", Role.ADMIN, None, said)
        await before.set("kept", "12345678", "", who, allow_short=False)
        await before.set("gone", "12345678", "", who, allow_short=False)
        await before.remove("gone", "", who)
        assert (await after.rotate(who)).rotated
        assert not (await after.rotate(who)).rotated


async def _providers(conn: AsyncConnection) -> None:
    for name, on_behalf_of in (("Docker", ""), ("big", "cli:ana")):
        who = provider_view.Who("api:root", on_behalf_of)
        added = await provider_view.add(conn, provider_view.New(name, "Docker", {}, 0, 3), who)
        assert added
        for change in (provider_view.pause, provider_view.resume, provider_view.adopt_engine):
            assert await change(conn, added, who)
        assert await provider_view.remove(conn, added, who)


def test_what_is_written_is_what_the_page_says(database_url: str, db: Connection) -> None:
    on(database_url, _jobs)
    on(database_url, _fleet)
    on(database_url, _projects)
    on(database_url, access_events.keys)
    on(database_url, lambda conn: _restore(conn, database_url))
    on(database_url, _secrets)
    on(database_url, _providers)
    written: dict[str, list[dict[str, Any]]] = {}
    for kind, payload in db.execute("SELECT event_type, payload FROM domain_events ORDER BY id"):
        written.setdefault(kind, []).append(payload)
    assert written.keys() == KINDS.keys()
    for name, kind in KINDS.items():
        assert [(p, kind.problems(p)) for p in written[name] if kind.problems(p)] == [], name
        for key in kind.keys:
            there = sum(key in payload for payload in written[name])
            assert there, f"{name}.{key} is never written"
            always = there == len(written[name])
            assert kind.keys[key].always or not always, f"{name}.{key} is always written"


@pytest.mark.parametrize("name", KINDS)
def test_each_example_could_have_been_written(name: str) -> None:
    assert KINDS[name].keys
    assert KINDS[name].problems(KINDS[name].example) == []


def test_each_kind_that_the_sources_write_stands_there() -> None:
    sources = [TREE / "schema.sql", *(TREE / "hodei").rglob("*.py")]
    inserts = [part for path in sources for part in path.read_text().split("INSERT INTO domain_ev")]
    kinds = {
        kind
        for part in inserts
        for kind in re.findall(r"'((?:Job|Worker|Token|Key|Project)[A-Z]\w+)'", part)
    }
    assert kinds | {*AuditKind} == KINDS.keys()


READ = re.compile(r"payload\s*(?:->>?|\?)\s*'(\w+)'")


def read_in(*paths: Path) -> set[str]:
    return {key for path in paths for key in READ.findall(path.read_text())}


READERS: dict[str, set[str]] = {
    "hodei": read_in(TREE / "schema.sql", *(TREE / "hodei").rglob("*.py")),
    "guide": read_in(TREE / "tests/guide/statements.sql"),
    "runbook": read_in(TREE / "docs/runbook.md"),
    "judge": read_in(*(TREE / "verify").glob("*.py")),
}


@pytest.mark.parametrize("reader", READERS)
def test_each_key_that_a_statement_reads_is_named_with_its_reader(reader: str) -> None:
    named = {
        key for kind in KINDS.values() for key, row in kind.keys.items() if reader in row.readers
    }
    assert READERS[reader], "the pattern finds what is read"
    assert named == READERS[reader]


def test_what_the_timeline_shows_is_named_with_it() -> None:
    for name, kind in KINDS.items():
        payload = {key: f"<{key}>" for key in kind.keys}
        shown = set(re.findall(r"<(\w+)>", summary(payload)))
        if "new_state" in payload:
            shown.add("new_state")
        named = {key for key, row in kind.keys.items() if "timeline" in row.readers}
        assert named == shown, name


def test_what_the_guide_reads_of_a_kind_is_never_lost() -> None:
    """The guide's statements read these of the kinds that they name."""
    assert KINDS["JobStatusChanged"].keys.keys() >= {
        "job_id",
        "worker_id",
        "old_state",
        "new_state",
        "success",
    }
    assert KINDS["JobAssigned"].keys.keys() >= {"job_id", "worker_id"}
    assert KINDS["WorkerStatusChanged"].keys.keys() >= {"new_status", "last_heartbeat"}
    assert all("job_id" in kind.keys for name, kind in KINDS.items() if name.startswith("Job"))
