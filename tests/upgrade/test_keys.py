"""API keys where servers of the release before, which know none, work on the same database: forward,
beside each other, and back; no job is lost."""

import json
import subprocess
import sys

import pytest

from tests.eventually import eventually
from tests.upgrade.releases import BEFORE, REVISION_5, Both
from tests.upgrade.test_upgrade import judged


def create_key(releases: Both, role: str) -> str:
    made = ("apikey", "create", "--role", role, "--name", role, "--database-url", releases.new.url)
    return releases.new.run(*made).text.strip()


def submit(releases: Both) -> list[str]:
    return ["job", "submit", "--label", "at=a", "--command", "true"]


@pytest.mark.slow
@pytest.mark.parametrize("releases", [BEFORE, REVISION_5], indirect=True)
def test_keys_beside_servers_that_know_none(
    releases: Both, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, (at_old, at_new) = releases.old, releases.new, releases.addresses
    old_server = old.server("server", releases.ports[0])
    worker = old.worker("a", releases.addresses, "a")
    long = [releases.enqueue("a", long=True)]
    releases.until(long[0], "RUNNING")

    new_server = new.server("server", releases.ports[1])
    key = create_key(releases, "admin")
    ran = eventually(lambda: refused(releases, at_new))
    assert "API key" in ran
    submitted = [old.run(*submit(releases), server=at_old).text.strip()]  # needs none there
    monkeypatch.setenv("HODEI_API_KEY", key)
    for programs, server in ((new, at_new), (new, at_old), (old, at_old)):
        submitted.append(programs.run(*submit(releases), server=server).text.strip())
    shown = json.loads(new.run("job", "get", submitted[1], "-o", "json", server=at_new).out)
    assert shown["actor"] == "api:admin"
    old.run("job", "get", submitted[1], "--format", "json", server=at_old)

    registrar = create_key(releases, "registrar")
    by_key = {"HODEI_API_KEY": registrar}
    flags = ("--label", "at=b", "--name", "b")
    new.stack.worker("b", at_new, releases.new.folder / "b", None, *flags, environment=by_key)
    old.end(old_server)  # the worker `a` comes to the new server, or is there already
    for job_id in (*submitted, releases.enqueue("a"), releases.enqueue("b")):
        releases.until(job_id, "SUCCEEDED")
    assert releases.state(long[0]) == "RUNNING"

    old_server = old.server("server-again", releases.ports[0])
    new.end(new_server)  # back: the old server needs no key, and the worker of a key stays one
    last = new.stack.parts[-1]
    new.end(last)
    new.stack.worker("b-again", at_old, releases.new.folder / "b", None, *flags)
    monkeypatch.delenv("HODEI_API_KEY")
    submitted.append(old.run(*submit(releases), server=at_old).text.strip())
    for job_id in (submitted[-1], releases.enqueue("b")):
        releases.until(job_id, "SUCCEEDED")

    new.server("server-again", releases.ports[1])  # and forward for good: the keys are still there
    old.end(old_server)
    old.end(worker)
    new.worker("a", releases.addresses, "a")
    assert "API key" in refused(releases, at_new)
    monkeypatch.setenv("HODEI_API_KEY", key)
    submitted.append(new.run(*submit(releases), server=at_new).text.strip())
    releases.until(submitted[-1], "SUCCEEDED")
    releases.let_go()
    releases.until(long[0], "SUCCEEDED")
    judged(releases)


def refused(releases: Both, server: str) -> str:
    """What the command line of the release before says of a call without a key; empty: it is
    answered."""
    done = subprocess.run(
        [sys.executable, "-m", "hodei.cli.main", "--server", server, "worker", "list"],
        capture_output=True,
        timeout=60,
        check=False,
        cwd=releases.old.stack.tree,
    )
    return done.stderr.decode() if done.returncode else ""


@pytest.mark.slow
@pytest.mark.parametrize("releases", [BEFORE, REVISION_5], indirect=True)
def test_a_worker_with_a_registrars_key_waits_for_a_server_that_knows_keys(releases: Both) -> None:
    """The server of the release before takes the key for a missing token: the worker says what that
    means, and asks the next server."""
    old, new, (at_old, at_new) = releases.old, releases.new, releases.addresses
    new.db("apply")
    key = create_key(releases, "registrar")
    old.server("server", releases.ports[0])
    argv = ["hodei_worker", "--server", f"{at_old},{at_new}", "--label", "at=keyed"]
    argv += ["--state-dir", str(releases.trace.parent / "keyed"), "--on-worker-exit", "kill"]
    worker = new.stack.start("keyed", argv, {"HODEI_API_KEY": key})
    said = f"{at_old} is of an older release, which registers workers with tokens only"
    eventually(lambda: said in worker.log.read_text(), 40)
    assert releases.conn.execute("SELECT count(*) FROM workers").fetchone() == (0,)
    assert not worker.ended
    waits = releases.enqueue("keyed")
    new.server("new", releases.ports[1])
    releases.until(waits, "SUCCEEDED", 60)
    found = "SELECT created_by FROM worker_bootstrap_tokens WHERE consumed_at IS NOT NULL"
    assert releases.conn.execute(found).fetchall() == [("api:registrar",)]
    assert key not in worker.log.read_text()
