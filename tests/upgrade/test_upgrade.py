"""A database that the release before has filled goes on under this one, beside the old one, and
back: no job lost, none run twice."""

import signal
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from hodei.store.schema import REVISION
from tests.eventually import eventually
from tests.upgrade.following import follow_by_the_server_before
from tests.upgrade.newer_keys import an_older_worker_runs_without_them, newer_keys_are_named
from tests.upgrade.releases import Both, Release
from verify.checker import traces_in, violations


def every_state(releases: Both) -> dict[str, str]:
    """Jobs in each state that the old release knows, by what they are; the running ones go on until
    `let_go`."""
    jobs = {
        "succeeded": releases.enqueue("a"),
        "failed": releases.enqueue("a", exit_code=3),
        "cancelled": releases.enqueue("a", long=True),
        "retried": releases.enqueue("a", exit_code=3, retries=1),
        "running": releases.enqueue("a", long=True, name="it runs"),
        "another running": releases.enqueue("a", long=True, timeout=600),
        "later": releases.enqueue("b", run_at="2900-01-01T00:00:00Z"),
        "queued": releases.enqueue("b", queue_timeout=3600),
    }
    releases.until(jobs["cancelled"], "RUNNING")
    releases.old.run("job", "cancel", jobs["cancelled"], server=releases.addresses[0])
    for name, state in {
        "succeeded": "SUCCEEDED",
        "failed": "FAILED",
        "cancelled": "CANCELLED",
        "running": "RUNNING",
    }.items():
        releases.until(jobs[name], state)
    releases.until(jobs["another running"], "RUNNING")
    return jobs


def offered_to_the_silent(releases: Both, worker: subprocess.Popen[bytes]) -> str:
    """An offer that lies at a worker which hears nothing."""
    worker.send_signal(signal.SIGSTOP)
    job_id = releases.enqueue("c")
    offered = "SELECT 1 FROM leases WHERE job_id = %s AND accepted_at IS NULL"
    eventually(lambda: releases.conn.execute(offered, [job_id]).fetchone())
    return job_id


def use(programs: Release, address: str, label: str, releases: Both) -> str:
    """What people do with the command line of one release and the server of another; the id of a
    job that ran so."""
    submit = ["job", "submit", "--label", f"at={label}", "--script", str(script(releases))]
    job_id = programs.run(*submit, server=address).text.strip()
    programs.run("job", "logs", "-f", job_id, server=address)
    assert (
        programs.run("job", "get", job_id, "--format", "json", server=address).json["state"]
        == "SUCCEEDED"
    )
    assert job_id in programs.run("job", "list", "--limit", "1000", server=address).text
    for words in (["job", "timeline", job_id], ["worker", "list"], ["token", "list"], ["status"]):
        programs.run(*words, server=address)
    doomed = programs.run(
        "job", "submit", "--label", "at=nowhere", "--command", "true", server=address
    ).text.strip()
    programs.run("job", "cancel", doomed, server=address)
    assert releases.state(doomed) == "CANCELLED"
    return job_id


def what_the_old_one_lacks_is_said(new: Release, old_server: str) -> None:
    """Of the commands for workers: a filter holds, and what cannot be done is said."""
    b = new.run("worker", "list", "--label", "at=b", "-q", server=old_server).text.strip()
    assert new.run("worker", "list", "--state", "DRAINING", "-q", server=old_server).text == ""
    shown = new.run("worker", "get", "b", server=old_server, code=125)
    assert "older release and cannot show one worker" in shown.err
    drained = new.run("worker", "drain", "b", server=old_server, code=125)
    assert "older release and takes whole ids only" in drained.err
    assert "DRAINING" in new.run("worker", "drain", b, server=old_server).text
    new.run("worker", "drain", "--undo", b, server=old_server)


def script(releases: Both) -> str:
    path = releases.trace.parent / "script"
    path.write_text(
        f"T={releases.trace}/$HODEI_JOB_ID.$HODEI_LEASE\necho start >>$T\necho one | tee -a $T\n"
    )
    return str(path)


def judged(releases: Both, *, may_run_twice: str = "") -> None:
    """No job is lost, none ran twice, each log is what its job wrote."""
    left = "SELECT id::text, state FROM jobs WHERE completed_at IS NULL"
    eventually(lambda: not releases.conn.execute(left).fetchall(), 40)
    traces = traces_in(releases.trace)
    assert violations(releases.conn, traces) == []
    starts: Counter[str] = Counter()
    for trace in traces:
        starts[trace.job_id] += trace.starts
    attempts: dict[str, int] = dict(
        releases.conn.execute("SELECT id::text, attempts FROM jobs").fetchall()
    )
    assert {j: n for j, n in starts.items() if n != attempts[j] and j != may_run_twice} == {}


@pytest.mark.slow
def test_forward_beside_each_other_and_back(releases: Both) -> None:
    old, new, addresses = releases.old, releases.new, releases.addresses
    server = old.server("server", releases.ports[0])
    workers = {name: old.worker(name, addresses, name) for name in "ac"}
    jobs = every_state(releases)
    offered = offered_to_the_silent(releases, workers["c"].process)
    unused = old.run("token", "create", server=addresses[0]).text.strip()

    server.process.kill()  # forward: the new server comes, the old workers find it and go on
    old.end(server)
    newer = new.server("server", releases.ports[1])
    workers["c"].process.send_signal(signal.SIGCONT)
    assert releases.revision() == REVISION
    releases.until(offered, "SUCCEEDED")
    assert releases.conn.execute(
        "SELECT 1 FROM worker_bootstrap_tokens WHERE token = %s", [unused]
    ).fetchone()
    releases.until(releases.enqueue("a"), "SUCCEEDED")  # a new server and an old worker

    server = old.server("server-again", releases.ports[0])  # beside the new one
    old.end(workers["a"])  # the worker `a` is upgraded in the middle of its jobs
    upgraded = new.worker("a", addresses[:1], "a")  # a new worker and the old server
    releases.until(releases.enqueue("a"), "SUCCEEDED")
    assert [releases.state(jobs[name]) for name in ("running", "another running")] == [
        "RUNNING",
        "RUNNING",
    ]

    new.end(newer)  # back: the old release alone
    releases.until(releases.enqueue("a"), "SUCCEEDED")
    old.worker("d", addresses, "b")
    releases.until(jobs["queued"], "SUCCEEDED")

    new.server("server-again", releases.ports[1])  # and forward for good
    old.end(server)
    new.end(upgraded)
    new.worker("a", addresses, "a")
    releases.let_go()
    for name in ("running", "another running"):
        releases.until(jobs[name], "SUCCEEDED")
    new.run("job", "cancel", jobs["later"], server=addresses[1])
    assert [releases.state(jobs[name]) for name in ("succeeded", "failed", "retried")] == [
        "SUCCEEDED",
        "FAILED",
        "FAILED",
    ]
    judged(releases, may_run_twice=offered)


@pytest.mark.slow
def test_each_command_line_speaks_with_each_server(releases: Both) -> None:
    old, new, (old_server, new_server) = releases.old, releases.new, releases.addresses
    new.server("server", releases.ports[1])
    old.server("server", releases.ports[0])
    old.worker("a", [new_server], "a")
    new.worker("b", [old_server], "b")
    use(old, new_server, "a", releases)
    follow_by_the_server_before(new, old_server, use(new, old_server, "b", releases))
    newer_keys_are_named(new, old_server)
    an_older_worker_runs_without_them(new, new_server, "a", releases)
    listed = new.run("worker", "list", "--format", "json", server=new_server).json
    unknown = {one["name"]: one["job_user"] for one in listed}
    assert unknown == {"a": None, "b": None}, (
        "an old worker does not say it, an old server not keep it"
    )
    assert "root" not in new.run("status", server=new_server).text
    what_the_old_one_lacks_is_said(new, old_server)
    servers = new.run("status", "--format", "json", server=new_server).json["listening"]
    assert {one["address"]: one["version"] is None for one in servers} == {
        new_server: False,
        None: True,
    }
    assert old.db("check")  # a newer revision stands
    assert new.db("check")
    releases.let_go()
    judged(releases)


@pytest.mark.slow
@pytest.mark.parametrize("way", ["upgraded", "taken back"])
def test_an_agent_goes_on_with_the_supervisor_of_the_other_release(
    releases: Both, way: str
) -> None:
    """Jobs that run, that end while there is no agent, and that are cancelled under the other one:
    each has one attempt, and its log is whole."""
    before, after = (
        (releases.old, releases.new) if way == "upgraded" else (releases.new, releases.old)
    )
    releases.new.server("server", releases.ports[1])
    addresses = releases.addresses[1:]
    worker = before.worker("a", addresses, "a")
    jobs = {name: releases.enqueue("a", long=True) for name in ("goes on", "is cancelled")}
    jobs["ends meanwhile"] = releases.enqueue("a", least=60)
    jobs["fails meanwhile"] = releases.enqueue("a", least=60, exit_code=3)
    for job_id in jobs.values():
        releases.until(job_id, "RUNNING")
    (supervisor,) = supervisors(releases.old.folder / "a")
    before.end(worker)
    traces = {job_id: trace_of(releases, job_id) for job_id in jobs.values()}
    for name in ("ends meanwhile", "fails meanwhile"):
        eventually(lambda name=name: b"line 60\n" in traces[jobs[name]].read_bytes())  # type: ignore[misc]

    worker = after.worker("a", addresses, "a")
    releases.until(jobs["ends meanwhile"], "SUCCEEDED")
    releases.until(jobs["fails meanwhile"], "FAILED")
    assert releases.state(jobs["goes on"]) == "RUNNING"
    assert supervisor in supervisors(releases.old.folder / "a"), "the jobs' parent is as before"
    later = [releases.enqueue("a", least=2), releases.enqueue("a", long=True)]
    releases.until(later[0], "SUCCEEDED")
    releases.until(later[1], "RUNNING")
    releases.new.run("job", "cancel", jobs["is cancelled"], server=addresses[0])
    releases.until(jobs["is cancelled"], "CANCELLED")
    grown = traces[jobs["goes on"]].stat().st_size
    eventually(lambda: traces[jobs["goes on"]].stat().st_size > grown)
    releases.let_go()
    releases.until(jobs["goes on"], "SUCCEEDED")
    releases.until(later[1], "SUCCEEDED")
    judged(releases)
    attempts: dict[str, int] = dict(
        releases.conn.execute("SELECT id::text, attempts FROM jobs").fetchall()
    )
    assert attempts == dict.fromkeys((*jobs.values(), *later), 1)
    eventually(lambda: len(supervisors(releases.old.folder / "a")) <= 1)


def supervisors(state: Path) -> list[int]:
    """Of a worker, whatever its release is: their command line names its state folder, or one in
    it."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "hodei_worker.supervisor" in words and any(
            word == str(state) or word.startswith(f"{state}/") for word in words
        ):
            found.append(int(path.parent.name))
    return found


def trace_of(releases: Both, job_id: str) -> Path:
    (path,) = releases.trace.glob(f"{job_id}.*")
    return path


ODD_NUMBERS = {
    "silence": '{"command": "true", "silence_timeout": 1e-400}',
    "timeout": '{"command": "true", "timeout": 1e-400}',
    "queueing": '{"command": "true", "start_timeout": 1e-400}',
    "far": '{"command": "true", "run_at": "9999-12-31T23:59:59-14:00"}',
}
ODD = "odd\x1b[31m\nforged\x9b2J"


@pytest.mark.slow
def test_what_the_old_door_took_is_rejected_or_shown_escaped(releases: Both) -> None:
    odd_words = releases.enqueue("a", name=ODD, correlation_id=ODD, actor=ODD)
    odd_label = releases.enqueue_spec({"command": "true", "labels": {"at": "a\x1b[31m\nb"}})
    odd_numbers = [releases.enqueue_text(spec) for spec in ODD_NUMBERS.values()]
    assert f"{len(odd_numbers)} jobs" in releases.new.db("check", code=1)

    new, address = releases.new, releases.addresses[1]
    new.server("server", releases.ports[1])
    for job_id in odd_numbers:
        assert releases.conn.execute(
            "SELECT state, reason FROM jobs WHERE id = %s", [job_id]
        ).fetchone() == ("FAILED", "REJECTED")
    new.db("check")
    releases.old.worker("a", [address], "a")
    releases.until(odd_words, "SUCCEEDED")
    for job_id in (odd_words, odd_label, *odd_numbers):
        for words in (["job", "get", job_id], ["job", "timeline", job_id]):
            assert_escaped(new.run(*words, server=address).out)
    assert_escaped(new.run("job", "list", server=address).out)
    new.run("job", "cancel", odd_label, server=address)
    judged(releases)


def assert_escaped(shown: bytes) -> None:
    text = shown.decode()
    assert "\x1b" not in text
    assert "\x9b" not in text
    assert "\nforged" not in text
