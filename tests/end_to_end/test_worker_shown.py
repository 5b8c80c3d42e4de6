"""Workers as operators find, show and change them: by name or by a part of an id, several at once;
on a terminal, and as documents."""

import uuid
from pathlib import Path

import grpc
import pytest

from tests.end_to_end.test_completion import offered
from tests.eventually import eventually
from tests.hostile.worker import HostileWorker
from tests.running import Hodei
from tests.worker.test_job_user_shown import on_a_terminal


def id_of(hodei: Hodei, name: str) -> str:
    ((worker_id,),) = hodei.sql("SELECT id::text FROM workers WHERE name = %s", name)
    return str(worker_id)


def refused(hodei: Hodei, *arguments: str) -> str:
    ran = hodei.run(*arguments, server=0)
    assert ran.code != 0, ran
    assert ran.err.startswith("Error: "), ran.err
    return ran.err


def start(hodei: Hodei, name: str, *flags: str) -> None:
    hodei.stack.worker(
        name, hodei.addresses[0], hodei.folder / name, hodei.token(), "--name", name, *flags
    )


def test_workers_are_found_shown_and_drained(fresh: Hodei) -> None:
    start(fresh, "a", "--slots", "1", "--label", "zone=a", "--log-limit", "4096")
    start(fresh, "b", "--slots", "2", "--label", "zone=b")
    a, b = id_of(fresh, "a"), id_of(fresh, "b")
    running = fresh.submit("--label", "zone=a", "--name", "work", "--command", "sleep 600")
    fresh.until(running, "RUNNING")
    fresh.until_beaten(running)
    fresh.sql("UPDATE jobs SET name = E'at\\x1b[2Jwork'")
    for _ in range(2):
        fresh.submit("--label", "zone=b", "--label", "gpu=h100", "--command", "true")

    for which in ("a", a, a[:6], a[:11], a[-8:], a[-20:].upper(), a.replace("-", "")):
        shown = fresh.ok("worker", "get", which, "-o", "json").json
        assert shown["worker_id"] == a, which
    assert shown["host"] == fresh.sql("SELECT about ->> 'host' FROM workers")[0][0]
    assert shown["system"].startswith("Linux ")
    assert shown["python"].startswith("3.")
    assert shown["log_limit_bytes"] == 4096
    assert {"process", "recall", "os=linux"} <= {*shown["capabilities"]}
    assert (shown["on_worker_exit"], shown["on_disconnect"]) == ("kill", "keep")
    assert shown["connected_at"] > shown["registered_at"]
    assert [job["job_id"] for job in shown["jobs"]] == [running]
    assert (shown["jobs_in_all"], shown["jobs"][0]["state"]) == (1, "RUNNING")
    assert shown["lacking"] == [{"labels": {"zone": "b", "gpu": "h100"}, "jobs": 2}]
    listed = fresh.ok("worker", "list", "-o", "json").json
    held = {one["name"]: (one["current_job_id"], one["current_job_name"]) for one in listed}
    assert held == {"a": (running, "at\x1b[2Jwork"), "b": (None, None)}
    assert f"{running}  at\\x1b[2Jwork" in fresh.ok("worker", "list").text
    table = on_a_terminal(fresh, 80, "worker", "get", "a")
    runs = "runs          processes, jobs with secrets"
    for words in (
        runs,
        running[-8:],
        "at\\x1b[2Jwork",
        "gpu=h100 zone=b",
        "4.0 KiB of each attempt",
    ):
        assert words in table, table
    assert max(map(len, table.splitlines())) <= 80
    lacks_one_label = fresh.ok("worker", "get", "b", "-o", "json").json["lacking"]
    assert lacks_one_label == [{"labels": {"gpu": "h100"}, "jobs": 2}]

    drained = fresh.run("worker", "drain", a[:8], "nowhere", b[-8:], "a\x1b[2J")
    assert drained.code != 0
    assert drained.text.splitlines() == [
        f"worker {a} (a) gets no new jobs; it is DRAINING",
        f"worker {b} (b) gets no new jobs; it is DRAINING",
    ]
    assert "no worker 'nowhere': expected a name, an id" in drained.err
    assert "\x1b" not in drained.err
    shown = fresh.ok("worker", "get", "a", "-o", "json").json
    assert (shown["draining"], shown["drained_by"][:4]) == (True, "cli:")
    assert shown["drained_at"] > shown["connected_at"]
    fresh.ok("worker", "drain", "a")
    again = fresh.ok("worker", "get", "a", "-o", "json").json
    assert again["drained_at"] == shown["drained_at"], "whoever drained it first"
    assert "no: it is draining" in fresh.ok("worker", "get", "a").text
    undone = fresh.ok("worker", "drain", "--undo", "a", "b", "-o", "json").json
    assert [one["drained_by"] for one in undone] == [None, None]

    assert fresh.ok("worker", "list", "-q", "--label", "zone=b").text == f"{b}\n"
    assert fresh.ok("worker", "list", "-q", "--state", "busy,draining").text == f"{a}\n"
    assert fresh.ok("worker", "list", "-q", "--state", "READY", "--label", "zone=a").text == ""
    for flags in (["--state", "IDLE"], ["--label", "zone"]):
        assert fresh.run("worker", "list", *flags).code == 2
    for columns, has_left in ((40, "heartbeat"), (80, "version"), (200, a)):
        seen = on_a_terminal(fresh, columns, "worker", "list")
        assert max(map(len, seen.splitlines())) <= columns
        assert a[-8:] in seen
        assert " BUSY " in seen
        assert has_left not in seen
    assert a in on_a_terminal(fresh, 80, "worker", "list", "--wide")


def test_a_name_of_several_workers_and_odd_names(fresh: Hodei) -> None:
    fresh.sql(
        """
        INSERT INTO workers (id, name, state)
        SELECT gen_random_uuid(), 'twin', CASE WHEN i <= 12 THEN 'REGISTERING' ELSE 'TERMINATED' END
        FROM generate_series(1, 20) i
        """
    )
    words = refused(fresh, "worker", "revoke", "twin")
    assert "several workers fit, give the id of one: " in words
    assert words.count("(twin, REGISTERING)") == 10
    assert words.endswith(" and more\n")
    fresh.sql(
        """
        UPDATE workers
        SET name = 'other'
        WHERE state = 'REGISTERING'
          AND id <> (SELECT w.id FROM workers w WHERE w.state = 'REGISTERING' LIMIT 1)
        """
    )
    found = fresh.ok("worker", "get", "twin", "-o", "json").json
    assert found["state"] == "REGISTERING", "one that is there comes before those that are gone"
    assert (found["host"], found["log_limit_bytes"], found["jobs"]) == (None, None, [])
    same_end = str(uuid.uuid4())[-8:]
    for _ in range(2):
        fresh.sql(
            "INSERT INTO workers (id) VALUES (overlay(gen_random_uuid()::text placing %s from 29)::uuid)",
            same_end,
        )
    assert "several workers fit" in refused(fresh, "worker", "get", same_end)
    for which in ("abcde", "0" * 300, "%", "", "-" * 8):
        refused(fresh, "worker", "get", "--", which)
    assert "is TERMINATED: there is nothing to drain" in refused(
        fresh,
        "worker",
        "drain",
        fresh.sql("SELECT id::text FROM workers WHERE state = 'TERMINATED'")[0][0],
    )
    assert f"no worker {uuid.UUID(int=7)}" in refused(fresh, "worker", "get", str(uuid.UUID(int=7)))
    bound = fresh.ok("token", "create", "--worker-id", found["worker_id"][-8:], "-o", "json").json
    assert bound["worker_id"] == found["worker_id"]
    fresh.ok("token", "revoke", bound["token_id"])
    assert "this token is REVOKED already" in refused(fresh, "token", "revoke", bound["token_id"])


def test_a_worker_that_says_nothing_or_nonsense(fresh: Hodei, tmp_path: Path) -> None:
    address = fresh.addresses[0]
    with HostileWorker(address, fresh.token(), name="old") as old:
        eventually(lambda: fresh.sql("SELECT true FROM workers WHERE state = 'READY'"))
        text = fresh.ok("worker", "get", "old").text
        assert "host          unknown\n" in text
        assert "log limit     unknown\n" in text
        assert "runs          unknown\n" in text
        fresh.sql(
            """UPDATE workers SET about = '{"host": 7, "cpus": -1, "memory_bytes": "x",
            "drain_timeout_s": true, "capabilities": [1, "\\u001b[2J"]}' WHERE id = %s""",
            old.id,
        )
        shown = fresh.ok("worker", "get", "old", "-o", "json").json
        assert (shown["host"], shown["cpus"], shown["drain_timeout_s"]) == (None, None, None)
        assert "\x1b" not in fresh.ok("worker", "get", "old").text
        for odd in ("about = '[1]', labels = '[1]'", "labels = '{\"a\": [1]}', slots = -1"):
            fresh.sql(f"UPDATE workers SET {odd} WHERE id = '{old.id}'")
            fresh.ok("worker", "get", old.id)
            listed = fresh.ok("worker", "list", "-o", "json").json
            assert [one["worker_id"] for one in listed] == [old.id]
        assert listed[0]["name"] == "(unreadable)"
    about = {"host": "h", "drain_timeout_s": float("nan")}
    with HostileWorker(address, fresh.token(), name="odd", about=about):
        eventually(lambda: fresh.sql("SELECT true FROM workers WHERE name = 'odd' AND connected"))
        shown = fresh.ok("worker", "get", "odd", "-o", "json").json
        assert (shown["host"], shown["drain_timeout_s"]) == ("h", None)


@pytest.mark.parametrize(
    "words", [[f"word-{n}" for n in range(10_000)], ["\x1b[2J"], ["x" * 100_000]]
)
def test_capabilities_that_are_no_words_are_refused(hodei: Hodei, words: list[str]) -> None:
    with HostileWorker(hodei.addresses[0], hodei.token(), capabilities=words) as evil:
        assert evil.ends() == grpc.StatusCode.INVALID_ARGUMENT
        assert "capabilities: expected" in evil.words


@pytest.mark.parametrize(
    "about", [{"host": "a\x1b[2J"}, {"system": "x" * 201}, {"memory_bytes": 1 << 63}]
)
def test_what_cannot_be_shown_is_refused(hodei: Hodei, about: dict[str, object]) -> None:
    with HostileWorker(hodei.addresses[0], hodei.token(), about=about) as evil:
        assert evil.ends() == grpc.StatusCode.INVALID_ARGUMENT
        assert "about." in evil.words


def test_a_shell_completes_workers_their_states_and_labels(hodei: Hodei) -> None:
    servers = ",".join(hodei.addresses)
    ((worker_id, name),) = hodei.sql("SELECT id::text, name FROM workers WHERE labels ? 'zone'")
    known = {name, worker_id[-8:]}
    for words in ("hodei worker get", "hodei worker drain", "hodei token create --worker-id"):
        assert known & set(offered("bash", servers, words, "")), words
    assert offered("bash", servers, "hodei worker list --label", "zo") == ["zone=a"]
    assert offered("bash", servers, "hodei worker list --state", "READY,dr") == ["READY,DRAINING"]


def test_the_audit_shows_what_a_worker_did(fresh: Hodei) -> None:
    start(fresh, "ann")
    start(fresh, "bob")
    bob = id_of(fresh, "bob")
    for actor in (f"worker:{bob}", f"worker:{bob[:8]}", "worker:bob", "worker bob"):
        its = fresh.ok("audit", "--actor", actor, "-o", "json").json
        assert "WorkerRegistered" in {one["event_type"] for one in its}
        assert {one["actor"] for one in its} == {f"worker:{bob}"}
