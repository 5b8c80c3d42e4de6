"""`hodei status`: what waits and why, which servers there are, and what they would do."""

import re
import signal

from tests.eventually import eventually
from tests.running import Hodei
from tests.worker.test_job_user_shown import on_a_terminal


def status(hodei: Hodei, server: int = 0) -> dict[str, object]:
    found: dict[str, object] = hodei.ok("status", "-o", "json", server=server).json
    return found


def test_what_waits_is_told_by_its_cause(fresh: Hodei) -> None:
    folder = fresh.folder / "w"
    fresh.stack.worker(
        "worker", fresh.addresses[0], folder, fresh.token(), "--slots", "1", "--label", "zone=a"
    )
    running = fresh.submit("--label", "zone=a", "--command", "sleep 600")
    fresh.until(running, "RUNNING")
    for labels in (["zone=a"], ["zone=a", "gpu=x"], ["zone=b"], ["zone=b"]):
        fresh.submit(
            *(word for label in labels for word in ("--label", label)), "--command", "true"
        )
    fresh.submit("--run-at", "2100-01-01T00:00:00Z", "--command", "true")
    fresh.sql(
        """
        UPDATE job_queue SET labels = labels || '{"gpu": "\\u001b[2J"}' WHERE labels ? 'gpu'
        """
    )
    eventually(lambda: fresh.sql("SELECT count(*) FROM leases") == [(1,)], 30)
    now = status(fresh)
    assert (now["queued"], now["queued_ready"], now["unservable"]) == (5, 4, 3)
    assert (now["waiting"], now["ready_examined"]) == ({"RUN_AT": 1, "BACKOFF": 0}, 4)
    sets = now["unservable_sets"]
    assert isinstance(sets, list)
    assert [(one["labels"], one["jobs"], one["draining"]) for one in sets] == [
        ({"zone": "b"}, 2, False),
        ({"zone": "a", "gpu": "\x1b[2J"}, 1, False),
    ]
    table = on_a_terminal(fresh, 80, "status")
    assert "1 ready, 3 unservable, 1 for a later time" in table
    assert "ready for " in table
    assert "gpu=\\x1b[2J" in table
    assert max(map(len, table.splitlines())) <= 80

    fresh.ok("worker", "drain", "--", fresh.sql("SELECT id::text FROM workers")[0][0])
    assert "ready for " not in fresh.ok("status").text, "jobs that cannot run are not ready"
    sets = status(fresh)["unservable_sets"]
    assert isinstance(sets, list)
    assert {
        one["labels"].get("zone"): one["draining"] for one in sets if len(one["labels"]) == 1
    } == {
        "a": True,
        "b": False,
    }
    fresh.sql("UPDATE job_queue SET labels = '[1]' WHERE labels @> '{\"zone\": \"b\"}'")
    fresh.sql("UPDATE job_queue SET labels = '{\"zone\": 7}' WHERE labels ? 'gpu'")
    assert {"labels": {}, "jobs": 2} in [
        {"labels": one["labels"], "jobs": one["jobs"]}
        for one in status(fresh)["unservable_sets"]  # type: ignore[attr-defined]
    ], "what a hand has set costs nobody the answer"


def test_servers_tell_where_they_are_and_how_long_they_wait(fresh: Hodei) -> None:
    argv = ["hodei.cli.server", "--grpc", "127.0.0.1:0", "--lost-after", "50"]
    part = fresh.stack.start("patient", argv, {"HODEI_DATABASE_URL": fresh.url})
    fresh.stack.await_words(part, "hodei-server is ready")
    eventually(lambda: fresh.sql("SELECT count(*) FROM hodei_servers") == [(3,)])
    eventually(lambda: status(fresh)["servers"] == 3)
    now = status(fresh)
    listening = now["listening"]
    assert isinstance(listening, list)
    ready = re.search(r"ready on (127\.0\.0\.1:[1-9]\d*)\n", part.log.read_text())
    assert ready, "port 0 takes a free one, which is told"
    assert {one["address"] for one in listening} == {*fresh.addresses, ready[1]}
    assert fresh.ok("--server", ready[1], "status").code == 0
    assert now["lost_after_s"] == 50
    assert all(one["version"] == now["version"] and one["started_at"] for one in listening)
    assert "50 s of silence" in fresh.ok("status").text
    part.process.send_signal(signal.SIGTERM)
    assert part.process.wait(30) == 0
    assert status(fresh)["lost_after_s"] == 60, "one that ends takes its row along"

    fresh.sql(
        "INSERT INTO hodei_servers (id, last_beat) VALUES (gen_random_uuid(), now() - interval '1 day')"
    )
    assert len(status(fresh)["listening"]) == 2  # type: ignore[arg-type]
    eventually(lambda: fresh.sql("SELECT count(*) FROM hodei_servers") == [(2,)], 20)
    fresh.sql("DELETE FROM hodei_servers")
    eventually(lambda: fresh.sql("SELECT count(*) FROM hodei_servers") == [(2,)], 20)
    fresh.sql("DROP TABLE hodei_servers")
    assert status(fresh)["servers"] == 2, "the table is made again"
