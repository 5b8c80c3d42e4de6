"""Workers' credentials with servers and workers of the release before: forward, beside each other,
and back; no job is lost, and nobody is locked out."""

import json
from typing import Any

import pytest

from tests.eventually import eventually
from tests.upgrade.releases import BEFORE, REVISION_5, Both
from tests.upgrade.test_upgrade import judged

DUE = "UPDATE workers SET credential_since = now() - interval '26 days'"
RECONNECT = "SELECT pg_notify('hodei_worker', id::text) FROM workers"
RENEWED = "SELECT count(*) FROM domain_events WHERE event_type = 'WorkerCredentialRenewed'"


def kept(releases: Both) -> Any:
    return json.loads((releases.new.folder / "a" / "identity.json").read_text())


def renewals(releases: Both) -> int:
    row = releases.conn.execute(RENEWED).fetchone()
    assert row
    return int(row[0])


def make_due(releases: Both) -> None:
    """The worker's secret is due, and its stream ends."""
    releases.conn.execute(DUE)
    releases.conn.execute("UPDATE workers SET session = session + 1")
    releases.conn.execute(RECONNECT)


@pytest.mark.slow
@pytest.mark.parametrize("releases", [BEFORE, REVISION_5], indirect=True)
def test_a_renewed_credential_goes_forward_and_back(releases: Both) -> None:
    old, new, addresses = releases.old, releases.new, releases.addresses
    old_server = old.server("server", releases.ports[0])
    worker = old.worker("a", addresses, "a")
    first = kept(releases)["secret"]
    jobs = [releases.enqueue("a", long=True)]
    releases.until(jobs[0], "RUNNING")

    new_server = new.server(
        "server", releases.ports[1]
    )  # beside: nothing of the old worker changes
    make_due(releases)
    releases.until(releases.enqueue("a"), "SUCCEEDED")
    assert kept(releases)["secret"] == first

    old.end(worker)  # the worker is upgraded; by the old server it renews nothing
    worker = new.worker("a", addresses[:1], "a")
    releases.until(releases.enqueue("a"), "SUCCEEDED")
    assert renewals(releases) == 0
    new.end(worker)
    worker = new.worker("a", addresses, "a")  # and comes to the new server sooner or later
    old.end(old_server)
    eventually(lambda: renewals(releases) == 1)
    eventually(lambda: kept(releases)["secret"] != first)
    second = kept(releases)["secret"]

    old_server = old.server("server-again", releases.ports[0])
    new.end(new_server)  # back: the old server knows the renewed one
    releases.until(releases.enqueue("a"), "SUCCEEDED")
    new.end(worker)
    worker = old.worker("a", addresses, "a")  # and so does the old worker
    releases.until(releases.enqueue("a"), "SUCCEEDED")
    assert kept(releases)["secret"] == second
    jobs.append(releases.enqueue("a", long=True))
    releases.until(jobs[1], "RUNNING")

    new.server("server-again", releases.ports[1])  # forward for good
    old.end(old_server)
    old.end(worker)
    new.worker("a", addresses, "a")
    make_due(releases)
    eventually(lambda: renewals(releases) == 2)
    releases.let_go()
    for job_id in jobs:
        releases.until(job_id, "SUCCEEDED")
    judged(releases)


@pytest.mark.slow
def test_a_server_before_refuses_the_next_secret_and_takes_the_one_in_force(
    releases: Both,
) -> None:
    """The new server has stored the next secret's hash, and goes away before it counts."""
    releases.old.server("server", releases.ports[0])
    server = releases.new.server("server", releases.ports[1])
    worker = releases.new.worker("a", releases.addresses[1:], "a")
    make_due(releases)
    eventually(lambda: renewals(releases) == 1)
    eventually(lambda: len(kept(releases)["secrets"]) == 2)
    releases.new.end(worker)
    releases.new.end(server)
    # As the database and the file were a moment before the renewal:
    second, first = (one["secret"] for one in kept(releases)["secrets"])
    releases.conn.execute(
        "UPDATE workers SET credential_sha256 = sha256(decode(%s, 'hex'))", [first]
    )
    before = kept(releases) | {"secret": second, "secrets": [{"secret": second}, {"secret": first}]}
    (releases.new.folder / "a" / "identity.json").write_text(json.dumps(before))

    releases.new.worker("a", releases.addresses[:1], "a")
    releases.until(releases.enqueue("a"), "SUCCEEDED")
    assert kept(releases)["secret"] == first
    assert [one["secret"] for one in kept(releases)["secrets"]] == [second, first]
    releases.new.server("server-again", releases.ports[1])
    releases.new.worker("b", releases.addresses, "b")
    judged(releases)
