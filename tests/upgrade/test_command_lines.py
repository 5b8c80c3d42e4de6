"""The command line of one release and the servers of another, on one database: the same exit codes
and results as with its own servers, and what an older server lacks is said in one line."""

import json
import uuid

import pytest

from tests.running import Ran
from tests.upgrade.releases import Both, Release

pytestmark = pytest.mark.slow

CANNOT_START = {"old": 1, "new": 125}
"""The exit code for what Hodei could not do; each release has its own."""


def test_each_runs_and_changes_jobs_with_the_other(releases: Both) -> None:
    """Every exit code, log and end is that of the command line's own release."""
    old, new = releases.old, releases.new
    old_server, new_server = both_systems(releases)
    for cli, programs, server, label in (
        ("old", old, new_server, "a"),
        ("new", new, old_server, "b"),
    ):
        runs_with_the_codes_of_its_release(programs, server, label, CANNOT_START[cli])
        follows_and_repeats(programs, server, label)
        makes_and_revokes_tokens(programs, server, releases)
    drains_by_the_old(old, new_server)
    what_an_old_server_lacks_is_said(new, old_server)


def both_systems(releases: Both) -> tuple[str, str]:
    """The old and the new server: each with the other's worker, which has the label `b` or `a`."""
    releases.new.server("new", releases.ports[1])
    releases.old.server("old", releases.ports[0])
    old_server, new_server = releases.addresses
    releases.old.worker("a", [new_server], "a")
    releases.new.worker("b", [old_server], "b")
    return old_server, new_server


def runs_with_the_codes_of_its_release(
    programs: Release, server: str, label: str, cannot_start: int
) -> None:
    def run(*words: str, code: int) -> Ran:
        return programs.run(
            "job", "run", "--label", f"at={label}", *words, server=server, code=code
        )

    ran = run("--command", "echo out; echo err >&2; exit 3", code=3)
    assert ran.text == "out\n"
    assert "err\n" in ran.err
    assert "FAILED (EXIT_NONZERO: exit code 3)" in ran.err
    assert "SIGTERM" in run("--command", "kill -15 $$", code=143).err
    assert "TIMEOUT" in run("--timeout", "0.2", "--command", "sleep 60", code=124).err
    refused = run("--workdir", "/no/such", "--command", "true", code=cannot_start)
    assert "START_FAILED: workdir /no/such: no such folder" in refused.err
    assert run("--", "printf", "%s", "a b", code=0).text == "a b"


def follows_and_repeats(programs: Release, server: str, label: str) -> None:
    def job(*words: str) -> str:
        return programs.run("job", *words, server=server).text

    job_id = job("submit", "--label", f"at={label}", "--command", "echo one; exit 4").strip()
    assert job("logs", "-f", job_id) == "one\n"
    again = job("retry", job_id).strip()
    assert job("logs", "-f", again) == "one\n"
    for one in (job_id, again):
        shown = json.loads(job("get", one, "--format", "json"))
        assert (shown["state"], shown["exit_code"]) == ("FAILED", 4)
    (attempt,) = json.loads(job("attempts", again, "--format", "json"))
    assert (attempt["outcome"], attempt["log_bytes"]) == ("FAILED", 4)
    listed = json.loads(job("list", "--state", "FAILED", "--limit", "2", "--format", "json"))
    assert [one["job_id"] for one in listed] == [again, job_id]


def makes_and_revokes_tokens(programs: Release, server: str, releases: Both) -> None:
    made = programs.run("token", "create", "--ttl", "10m", "--format", "json", server=server).json
    programs.run("token", "revoke", made["token"], server=server)
    revoked = "SELECT revoked_at IS NOT NULL FROM worker_bootstrap_tokens WHERE token = %s"
    assert releases.conn.execute(revoked, [made["token"]]).fetchone() == (True,)


def drains_by_the_old(old: Release, new_server: str) -> None:
    workers = old.run("worker", "list", "--format", "json", server=new_server).json
    (worker,) = (one["worker_id"] for one in workers if one["name"] == "a")
    assert "DRAINING" in old.run("worker", "drain", worker, server=new_server).text
    status = old.run("status", "--format", "json", server=new_server).json
    assert status["workers"]["DRAINING"] == 1
    assert "READY" in old.run("worker", "drain", "--undo", worker, server=new_server).text


def what_an_old_server_lacks_is_said(new: Release, old_server: str) -> None:
    """In one line, with the exit code for it, and nothing is done."""
    parts = "knows neither parts of ids nor --last: give the whole id"
    part = uuid.uuid4().hex[-8:]
    worker = new.run("worker", "list", "--label", "at=b", "-q", server=old_server).text.strip()
    jobs_before = count(new, old_server)
    for words, said in {
        ("job", "logs", part): parts,
        ("job", "logs", "--last"): parts,
        ("job", "wait", "--last"): parts,
        ("job", "timeline", part): parts,
        ("job", "attempts", part): parts,
        ("job", "cancel", part): parts,
        ("job", "retry", part): parts,
        ("job", "list", "--label", "at=b"): "does not know --label",
        ("job", "list", "--until", "1h"): "does not know --until",
        ("job", "list", "--actor", "me"): "does not know --actor",
        ("job", "run", "--image", "alpine", "--", "true"): "image: this server is of an older",
        ("worker", "get", worker): "cannot show one worker",
        ("worker", "revoke", "b"): "takes whole ids only",
        ("token", "create", "--worker-id", "b"): "takes whole ids only",
    }.items():
        ran = new.run(*words, server=old_server, code=125)
        assert said in ran.err, words
        assert "of an older release" in ran.err, words
        assert (ran.text, ran.err.count("\n")) == ("", 1), words
    bound = new.run("token", "create", "--worker-id", worker, "--format", "json", server=old_server)
    assert bound.json["worker_id"] == worker
    assert count(new, old_server) == jobs_before


def count(programs: Release, server: str) -> int:
    found = programs.run("job", "list", "--limit", "1000", "-q", server=server).text.split()
    return len(found)
