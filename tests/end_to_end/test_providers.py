"""Providers by the command line: what operators see and change, and what is refused; without an
engine."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from hodei.store import cluster
from tests.eventually import eventually
from tests.running import Hodei


@pytest.fixture
def name(hodei: Hodei) -> Iterator[str]:
    """For a provider that is gone after the test."""
    name = f"provider-{uuid.uuid4().hex[:8]}"
    yield name
    hodei.sql("DELETE FROM provider_configs WHERE name LIKE %s", name + "%")


def shown(hodei: Hodei, name: str) -> dict[str, Any]:
    found: dict[str, Any] = hodei.ok("provider", "get", name, "--format", "json").json
    return found


def test_a_provider_is_added_shown_paused_resumed_and_removed(hodei: Hodei, name: str) -> None:
    flags = ("--max-workers", "3", "--slots", "2", "--label", "zone=a", "--idle-time", "10m")
    told = hodei.ok("provider", "add", name, *flags, "--socket-path", "/nowhere/docker.sock").text
    assert told.startswith(f"provider {name} (")
    assert told.endswith("is ACTIVE\n")
    found = shown(hodei, name)
    assert (found["max_workers"], found["slots"], found["labels"]) == (3, 2, {"zone": "a"})
    assert (found["idle_time_s"], found["engine"]) == (600.0, "/nowhere/docker.sock")
    assert found["wrong"] is None
    assert "is PAUSED; 0 workers go on" in hodei.ok("provider", "pause", name).text
    for part in (found["provider_id"].upper(), found["provider_id"][-8:]):
        assert shown(hodei, part)["status"] == "PAUSED"
    events = hodei.ok("audit", "--about", found["provider_id"][-8:], "--format", "json").json
    assert [event["event_type"] for event in events] == ["ProviderPaused", "ProviderAdded"]
    assert name in hodei.ok("provider", "list").text
    told = hodei.ok("provider", "get", name).text
    assert "Idle time" in told
    assert hodei.ok("provider", "show", name).text == told, "its former name"
    assert hodei.ok("provider", "resume", name).text == f"provider {name} is ACTIVE\n"
    hodei.sql("UPDATE provider_configs SET engine_id = 'OLD' WHERE name = %s", name)
    assert "takes the engine that answers next" in hodei.ok("provider", "adopt-engine", name).text
    assert shown(hodei, name)["engine_id"] is None
    assert hodei.ok("provider", "remove", name).text == f"provider {name} is removed\n"
    assert "no provider" in hodei.run("provider", "get", name).err
    story = hodei.sql(
        "SELECT event_type, actor LIKE 'cli:%%' FROM domain_events WHERE aggregate_id = %s"
        " ORDER BY occurred_at",
        found["provider_id"],
    )
    words = ("Added", "Paused", "Resumed", "EngineAdopted", "Removed")
    assert story == [(f"Provider{word}", True) for word in words]


def reason(hodei: Hodei, name: str, words: str) -> None:
    """Waits until the provider's reason has these words; by SQL, which costs no program."""
    asked = "SELECT status_reason FROM provider_configs WHERE name = %s"
    eventually(lambda: words in hodei.sql(asked, name)[0][0], 30, 0.1)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (("--slots", "0"), "--slots: expected a number from 1 to 1000, got 0"),
        (("--host", "tcp://a:1"), "--tls-ca: expected the path of a file"),
        (("--label", "zone"), "--label: expected K=V, got 'zone'"),
        (
            ("--label", "hodei/os=linux"),
            "--label: expected names of up to 63 letters, digits, . _ / - that do not begin with hodei/",
        ),
        (
            ("--idle-time", "soon"),
            '--idle-time: expected a time of 1 s to 365 days, as 90, "90s" or "1h30m", got "soon"',
        ),
        (("--ephemeral", "--slots", "2"), "--slots: expected 1 with ephemeral, got 2"),
        (("--image", "a\tb"), "--image: expected a text without control characters"),
    ],
)
def test_a_wrong_setting_is_refused_by_its_flag(
    hodei: Hodei, name: str, flags: tuple[str, ...], words: str
) -> None:
    ran = hodei.run("provider", "add", name, *flags)
    assert (ran.code, words in ran.err, ran.err.count("\n")) == (2, True, 2), ran
    assert "no provider" in hodei.run("provider", "get", name).err


def test_names_are_given_once_and_those_that_a_hand_has_given_twice_are_told_apart(
    hodei: Hodei, name: str
) -> None:
    hodei.ok("provider", "add", name)
    words = f"there is a provider '{name}': `hodei provider list` shows them"
    assert words in hodei.run("provider", "add", name).err
    (twin,) = hodei.sql(
        "INSERT INTO provider_configs (name, provider_type) VALUES (%s, 'Docker') RETURNING id",
        name,
    )[0]
    err = hodei.run("provider", "pause", name).err
    assert "several fit, give the id of one" in err
    assert str(twin) in err
    hodei.ok("provider", "remove", str(twin))
    hodei.ok("provider", "pause", name)


def test_one_with_workers_is_removed_by_force_only(hodei: Hodei, name: str) -> None:
    hodei.ok("provider", "add", name)
    hodei.ok("provider", "pause", name)
    hodei.sql(
        "UPDATE provider_configs SET status = 'HELD', seen = '{\"workers\": 2}' WHERE name = %s",
        name,
    )
    assert "still has workers (2): pause it and wait" in hodei.run("provider", "remove", name).err
    hodei.ok("provider", "remove", name, "--force")


def test_a_server_on_loopback_without_an_address_makes_nothing_and_says_why(
    hodei: Hodei, name: str
) -> None:
    """As on a desk, with the row of the guide: no failure is counted, whatever the socket is."""
    hodei.ok("provider", "add", name)
    words = "no address that workers could connect to: start hodei-server with --advertise"
    reason(hodei, name, words)
    assert words in shown(hodei, name)["status_reason"]
    assert (shown(hodei, name)["status"], shown(hodei, name)["failures"]) == ("ACTIVE", 0)
    hodei.ok("provider", "add", f"{name}-2", "--server-address", "server-1:50051")
    words = "hodei-server listens on loopback only, where no container reaches it"
    reason(hodei, f"{name}-2", words)


def test_what_a_hand_has_written_is_said_and_stops_no_other(hodei: Hodei, name: str) -> None:
    nonsense = {
        "type": ("Kubernetes", "{}", 3, "provider_type: expected Docker"),
        "list": ("docker", "[1]", 3, "config: expected a JSON object"),
        "key": ("docker", json.dumps({"\u001b[31m": 1}), 3, "config: expected keys among"),
        "long": ("docker", json.dumps({"image": "x" * 30_000}), 3, "config: expected a JSON"),
        "most": ("docker", "{}", -5, "max_workers: expected 0 to 1000, got -5"),
    }
    for kind, (provider_type, config, most, _) in nonsense.items():
        hodei.sql(
            "INSERT INTO provider_configs (name, provider_type, config, max_workers, seen)"
            " VALUES (%s, %s, %s::jsonb, %s, '[]')",
            *(f"{name}-{kind}", provider_type, config, most),
        )
    hodei.ok("provider", "add", f"{name}-good")
    for kind, (_, _, _, words) in nonsense.items():
        asked = f"{name}-{kind}"
        reason(hodei, asked, words)
        assert words in shown(hodei, asked)["wrong"]
    reason(hodei, f"{name}-good", "no address")
    assert "\x1b" not in hodei.ok("provider", "list").text


def test_a_copy_makes_nothing_until_it_is_adopted(fresh: Hodei) -> None:
    fresh.ok("provider", "add", "Docker")
    before = fresh.sql("SELECT cluster_id FROM hodei_schema")
    fresh.sql("UPDATE hodei_schema SET lives_in = '1/2'")
    reason(fresh, "Docker", "is a copy")
    adopt = ("db", "adopt-copy", "--database-url", fresh.url)
    assert "The copy is adopted" in fresh.ok(*adopt).text
    assert fresh.sql("SELECT cluster_id FROM hodei_schema") != before
    assert "This database is no copy" in fresh.ok(*adopt).text
    reason(fresh, "Docker", "no address")
    assert not cluster.adopt_sync(fresh.url, keep_id=False)[0]


def test_a_provider_that_nobody_looks_after_says_so(hodei: Hodei, name: str) -> None:
    """100 others have a higher priority. One with a word of its own as status counts for nothing."""
    hodei.ok("provider", "add", name, "--socket-path", "/nowhere/docker.sock", "--max-workers", "1")
    others = """
        INSERT INTO provider_configs (name, provider_type, status, priority, config)
        SELECT %s || '-' || n, 'Docker', CASE WHEN n > 0 THEN 'PAUSED' ELSE 'OFF' END, 7,
               '{"socket_path": "/nowhere/docker.sock"}'
        FROM generate_series(%s::integer, %s::integer) n
        """
    hodei.sql(others, name, 0, 99)
    assert "servers look after 100 providers" not in (shown(hodei, name)["status_reason"] or "")
    hodei.sql(others, name, 100, 100)
    words = "servers look after 100 providers, and as many come before this one: give it a higher"
    assert shown(hodei, name)["status_reason"].startswith(words)
    assert words in hodei.ok("provider", "get", name).text
    listed = {
        one["name"]: one["status_reason"]
        for one in hodei.ok("provider", "list", "--format", "json").json
    }
    beyond = [one for one, reason in listed.items() if (reason or "").startswith(words)]
    assert beyond == [name]
