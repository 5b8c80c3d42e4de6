"""A server of this release that is cut off from the database, with a worker of the release before: the worker
knows nothing of staying, and is sent away as it was by its own release."""

import pytest

from tests.eventually import eventually
from tests.upgrade.releases import Both
from verify.fault_proxy import FaultProxy

pytestmark = pytest.mark.slow


def test_a_worker_of_the_release_before_leaves_and_its_job_goes_on(releases: Both) -> None:
    host = releases.old.url.split("@")[1].split("/")[0]
    releases.new.db("apply")
    with FaultProxy(host) as link:
        url = releases.new.url.replace(host, link.address)
        at_isolated = releases.new.stack.server("isolated", url, releases.ports[0])
        worker = releases.old.worker("a", releases.addresses, "a")
        job_id = releases.enqueue("a", long=True)
        releases.until(job_id, "RUNNING")
        other = releases.new.server("other", releases.ports[1])
        link.stall()
        eventually(lambda: "worker connected" in other.log.read_text(), 60)
        assert f"stream to {at_isolated} ended" in worker.log.read_text()
        releases.let_go()
        releases.until(job_id, "SUCCEEDED", 60)
        attempts = "SELECT attempts FROM jobs WHERE id = %s"
        assert releases.conn.execute(attempts, [job_id]).fetchone() == (1,)
        link.heal()
