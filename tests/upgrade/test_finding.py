"""Finding and changing jobs with the command line of one release and a server of another: what
the older one does not know is said, never left out silently."""

import uuid

import pytest

from tests.upgrade.releases import Both

pytestmark = pytest.mark.slow


def test_a_new_command_line_says_what_an_old_server_does_not_know(releases: Both) -> None:
    releases.old.server("old", releases.ports[0])
    address = releases.addresses[0]
    group = uuid.uuid4().hex
    ids = [releases.enqueue("nowhere", name=f"n{n}", correlation_id=group) for n in range(4)]

    def run(*words: str, code: int = 0) -> str:
        ran = releases.new.run("job", *words, server=address, code=code)
        return ran.err if code else ran.text

    found = ["--correlation-id", group]
    assert run("list", *found, "--state", "pending", "-q").split() == ids[::-1]
    assert run("list", *found, "--limit", "5000", "--before", ids[2], "-q").split() == ids[1::-1]
    assert "does not know --worker, --name, --since" in run(
        "list", *found, "--name", "n*", "--worker", "w", "--since", "1h", code=125
    )
    assert "does not know several values of --state" in run(
        "list", "--state", "PENDING,RUNNING", code=125
    )
    assert "give the whole id" in run("get", ids[0][-8:], code=125)
    assert "give the whole id" in run("get", "--last", code=125)
    older = "is of an older release, which finds no jobs to cancel or retry"
    assert older in run("cancel", *found, "--yes", code=125)
    assert older in run("retry", ids[0], "--dry-run", code=125)
    nobody = str(uuid.uuid4())
    ran = releases.new.run("job", "cancel", *ids[:2], nobody, server=address, code=125)
    assert ran.text.splitlines() == [f"job {job} is CANCELLED" for job in ids[:2]]
    assert f"no job {nobody}" in ran.err
    new = run("retry", ids[0], ids[1]).split()
    assert [releases.state(job) for job in new] == ["PENDING"] * 2
    assert "is PENDING: only a job that has ended can be run again" in run(
        "retry", ids[2], code=125
    )


def test_an_old_command_line_works_with_a_new_server(releases: Both) -> None:
    releases.new.db("apply")
    releases.new.server("new", releases.ports[1])
    address = releases.addresses[1]
    group = uuid.uuid4().hex
    ids = [releases.enqueue("nowhere", name=f"n{n}", correlation_id=group) for n in range(4)]

    def run(*words: str) -> str:
        return releases.old.run("job", *words, server=address).text

    run("cancel", ids[0])
    new = run("retry", ids[0]).strip()
    listed = releases.old.run(
        "job", "list", "--correlation-id", group, "--format", "json", server=address
    )
    assert [job["job_id"] for job in listed.json] == [new, *ids[::-1]]
    cancelled = run("list", "--state", "CANCELLED", "--correlation-id", group)
    assert ids[0] in cancelled
    assert ids[1] not in cancelled
    assert ids[1] in run("list", "--before", ids[2], "--limit", "1")
