"""A worker renews its secret, and gets back in when servers know another one than it does."""

import hashlib
import json
import re
import stat
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hodei.local.stack import Part, Stack
from tests.end_to_end.lone_worker import worker_id
from tests.eventually import eventually
from tests.running import Hodei, start

DUE = "UPDATE workers SET credential_since = now() - interval '26 days'"
HASHES = """
SELECT credential_sha256, next_credential_sha256, previous_credential_sha256
FROM workers
"""


@pytest.fixture
def hodei(pg_server: SimpleNamespace, tmp_path: Path) -> Iterator[Hodei]:
    """One server, and no worker yet."""
    running = start(pg_server, tmp_path, servers=1)
    yield running
    running.stack.stop()
    running.conn.close()


def kept(state: Path) -> Any:
    return json.loads((state / "identity.json").read_text())


def sha256(secret: str) -> bytes:
    return hashlib.sha256(bytes.fromhex(secret)).digest()


def reconnect(hodei: Hodei) -> None:
    """Ends the stream of the only worker, which comes back at once."""
    hodei.sql("UPDATE workers SET session = session + 1")
    hodei.sql("SELECT pg_notify('hodei_worker', id::text) FROM workers")


def renewals(hodei: Hodei) -> int:
    found = "SELECT count(*) FROM domain_events WHERE event_type = 'WorkerCredentialRenewed'"
    return int(hodei.sql(found)[0][0])


def await_renewal(hodei: Hodei, number: int) -> None:
    eventually(lambda: renewals(hodei) == number)
    eventually(lambda: hodei.sql("SELECT connected FROM workers") == [(True,)])


def start_worker(hodei: Hodei, name: str, token: str | None = None) -> Part:
    return hodei.stack.worker(name, hodei.addresses[0], hodei.folder / "w", token)


def test_it_renews_under_a_running_job_and_after_the_database_was_restored(hodei: Hodei) -> None:
    state = hodei.folder / "w"
    start_worker(hodei, "worker", hodei.token())
    first = kept(state)["secret"]
    hodei.sql("CREATE TABLE backup AS TABLE workers")
    go = hodei.folder / "go"
    job_id = hodei.submit("--command", f"sh -c 'until [ -e {go} ]; do sleep 0.1; done'")
    hodei.until(job_id, "RUNNING")

    hodei.sql("UPDATE workers SET credential_since = now() - interval '10 days 3 hours'")
    shown = hodei.ok("worker", "get", worker_id(state), "--format", "json").json
    assert 10.1 < shown["credential_age_s"] / 86_400 < 10.2
    since, renews = map(
        datetime.fromisoformat, (shown["credential_since_at"], shown["credential_renews_at"])
    )
    assert timedelta(days=20) < renews - since < timedelta(days=25)
    text = hodei.ok("worker", "get", worker_id(state)).text
    assert re.search(r"^credential +10 d 3 h old, to be renewed in (9|1[0-4]) d \d+ h$", text, re.M)

    hodei.sql(DUE)
    text = hodei.ok("worker", "get", worker_id(state)).text
    assert re.search(r"^credential +26 d 0 h old, to be renewed now$", text, re.M)
    reconnect(hodei)
    await_renewal(hodei, 1)
    shown = hodei.ok("worker", "get", worker_id(state), "--format", "json").json
    assert shown["credential_age_s"] < 60
    second = eventually(lambda: kept(state)["secret"] != first and kept(state)["secret"])
    assert hodei.sql(HASHES) == [(sha256(second), None, sha256(first))]
    assert [one["secret"] for one in kept(state)["secrets"]] == [second, first]
    assert stat.S_IMODE((state / "identity.json").stat().st_mode) == 0o600

    hodei.sql(
        """
        UPDATE workers w
        SET credential_sha256 = b.credential_sha256, previous_credential_sha256 = NULL,
            session = w.session + 1
        FROM backup b
        WHERE b.id = w.id
        """
    )
    assert hodei.sql(HASHES) == [(sha256(first), None, None)]
    hodei.sql("SELECT pg_notify('hodei_worker', id::text) FROM workers")
    await_renewal(hodei, 2)  # by the secret from before the backup, and back to the newer one
    assert hodei.sql(HASHES) == [(sha256(second), None, sha256(first))]
    eventually(lambda: kept(state)["secret"] == second)

    go.touch()
    job = hodei.finish(job_id)
    assert (job["state"], job["attempts"]) == ("SUCCEEDED", 1)
    words = hodei.log("worker") + hodei.log("server-0")
    assert first not in words
    assert second not in words


def test_whichever_answer_is_lost_it_gets_back_in(hodei: Hodei) -> None:
    """The states in which a crash can leave the file, and the database's beside it."""
    state = hodei.folder / "w"
    Stack.stop_part(start_worker(hodei, "worker", hodei.token()))
    hodei.sql(DUE)
    part = start_worker(hodei, "worker-1")
    await_renewal(hodei, 1)
    eventually(lambda: len(kept(state)["secrets"]) == 2)
    Stack.stop_part(part)
    after = kept(state)
    second, first = (one["secret"] for one in after["secrets"])
    before = after | {"secret": first, "secrets": [{"secret": second}, {"secret": first}]}

    # The welcome to the new secret was lost: the server still takes the one before, for a day.
    (state / "identity.json").write_text(json.dumps(before))
    part = start_worker(hodei, "worker-2")
    eventually(lambda: kept(state)["secret"] == second)
    assert renewals(hodei) == 1
    Stack.stop_part(part)

    # The same, and a day has passed.
    hodei.sql("UPDATE workers SET credential_since = now() - interval '2 days'")
    (state / "identity.json").write_text(json.dumps(before))
    part = start_worker(hodei, "worker-3")
    assert "trying another one that it has kept" in hodei.log("worker-3")
    eventually(lambda: kept(state)["secret"] == second)
    Stack.stop_part(part)

    # A copy of the folder from before the renewal was restored: it makes a third secret at once.
    hodei.sql("UPDATE workers SET credential_since = now()")
    (state / "identity.json").write_text(
        json.dumps({"worker_id": after["worker_id"], "secret": first})
    )
    start_worker(hodei, "worker-4")
    await_renewal(hodei, 2)
    eventually(lambda: kept(state)["secret"] not in (first, second))
    third = kept(state)["secret"]
    assert hodei.sql(HASHES) == [(sha256(third), None, sha256(second))]


def test_a_worker_that_is_unknown_for_a_while_waits_for_the_database(hodei: Hodei) -> None:
    part = start_worker(hodei, "worker", hodei.token())
    me = worker_id(hodei.folder / "w")
    hodei.sql("CREATE TABLE backup AS TABLE workers")
    hodei.sql("DELETE FROM workers")
    hodei.sql("SELECT pg_notify('hodei_worker', id::text) FROM backup")
    eventually(lambda: "trying for 600 s more" in hodei.log("worker"))
    assert not part.ended
    hodei.sql("INSERT INTO workers SELECT * FROM backup")
    eventually(lambda: hodei.sql("SELECT id::text, connected FROM workers") == [(me, True)])
    assert hodei.ok("job", "run", "--command", "echo back").text == "back\n"
