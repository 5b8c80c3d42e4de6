"""Projects beside the release before, which has none: what its servers create is of the default
project, and a worker that is limited to projects takes nothing from them."""

import pytest

from hodei.client import Hodei, Unsupported
from hodei.local.stack import Part
from tests.eventually import eventually
from tests.upgrade.releases import Both

pytestmark = pytest.mark.slow

PROJECT = "SELECT project FROM jobs WHERE id = %s"
QUEUED = "SELECT project FROM job_queue WHERE job_id = %s"


def one(releases: Both, statement: str, *parameters: object) -> object:
    row = releases.conn.execute(statement.encode(), parameters).fetchone()
    return row[0] if row else None


def limited(releases: Both, addresses: list[str], token: str) -> Part:
    """A worker of this release that takes jobs of project web alone."""
    argv = ["hodei_worker", "--server", ",".join(addresses), "--name", "limited"]
    argv += ["--state-dir", str(releases.trace.parent / "limited"), "--on-worker-exit", "kill"]
    argv += ["--project", "web", "--label", "at=limited"]
    return releases.new.stack.start("limited", argv, {"HODEI_OTP_TOKEN": token})


def test_forward_beside_each_other_and_back(releases: Both) -> None:
    old, new, (at_old, at_new) = releases.old, releases.new, releases.addresses
    before = releases.enqueue("nowhere")
    old_server = old.server("old", releases.ports[0])
    submit = ["job", "submit", "--label", "at=limited", "--command", "true"]

    refused = new.run(*submit, "--project", "web", server=at_old, code=125)
    assert "is of an older release, which has no projects" in refused.err
    listed = new.run("job", "list", "--project", "web", server=at_old, code=125)
    assert "does not know --project" in listed.err
    assert "which has no projects" in new.run("project", "list", server=at_old, code=125).err
    with Hodei(at_old) as program:
        with pytest.raises(Unsupported, match="which has no projects"):
            program.submit(command="true", project="web")
        with pytest.raises(Unsupported, match="of an older release"):
            program.list(project="web")
    assert one(releases, "SELECT count(*) FROM jobs") == 1, "nothing was stored by them"

    token = old.run("token", "create", server=at_old).text.strip()
    worker = limited(releases, [at_old, at_new], token)
    said = "gives jobs of any project to every worker"
    eventually(lambda: said in worker.log.read_text(), 40)
    of_all = new.run(*submit, server=at_old).text.strip()

    new.db("apply")
    new.server("new", releases.ports[1])
    assert one(releases, PROJECT, before) == one(releases, QUEUED, before) == "default"
    mine = new.run(*submit, "--project", "web", server=at_new).text.strip()
    releases.until(mine, "SUCCEEDED", 60)  # the worker has left the old server for the new one
    assert releases.state(of_all) == "PENDING", "it is of the default project"
    later = old.run(*submit, server=at_old).text.strip()
    assert one(releases, PROJECT, later) == "default"
    by_old_program = old.run(*submit, server=at_new).text.strip()
    assert one(releases, PROJECT, by_old_program) == "default"
    assert releases.state(of_all) == releases.state(later) == "PENDING"

    put_back_by_the_old_one(releases, at_new)

    old.end(old_server)
    free = new.worker("free", [at_new], "limited")
    for job_id in (of_all, later, by_old_program):
        releases.until(job_id, "SUCCEEDED", 60)

    for part in (free, worker):  # back
        new.end(part)
    new.end(next(part for part in new.stack.parts if part.name == "new"))
    old.server("old again", releases.ports[0])
    old_worker = old.worker("back", [at_old], "limited")
    again = old.run("job", "retry", mine, server=at_old).text.strip()
    releases.until(again, "SUCCEEDED", 60)
    assert (one(releases, PROJECT, mine), one(releases, PROJECT, again)) == ("web", "default")
    old.end(old_worker)


def put_back_by_the_old_one(releases: Both, at_new: str) -> None:
    """A job of project web that fails on an old worker at the old server, and is to run again. Its row
    in the queue says no project until the new server files it, for which a back-off is long enough
    at last."""
    worker = releases.old.worker("failing", [releases.addresses[0]], "failing")
    job_id = releases.new.run(
        *("job", "submit", "--project", "web", "--label", "at=failing", "--retries", "9"),
        *("--command", "exit 3"),
        server=at_new,
    ).text.strip()
    eventually(lambda: one(releases, "SELECT failures > 0 FROM jobs WHERE id = %s", job_id), 40)
    eventually(lambda: one(releases, QUEUED, job_id) == "web", 40)
    releases.new.run("job", "cancel", job_id, server=at_new)
    releases.until(job_id, "CANCELLED", 60)
    releases.old.end(worker)
