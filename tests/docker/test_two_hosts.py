"""Two Docker hosts, each with a network of its own, whose cable to the server is cut and healed."""

import contextlib
import dataclasses
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docker import tiny_image
from tests.docker.engines import OwnEngine, can_be_started
from tests.docker.namespaces import in_network_of, listener_on_loopback
from tests.docker.workers import DockerWorker
from tests.eventually import eventually
from tests.running import Hodei
from verify.fault_proxy import FaultProxy

COUNT = "n=0; while [ $n -lt 120 ]; do n=$((n+1)); echo line $n; sleep 0.1; done"
LINES = "".join(f"line {n}\n" for n in range(1, 121))
UNTIL_LET_GO = "echo up; until [ -e /tmp/go ]; do sleep 0.05; done; echo down"


@dataclass
class Host:
    worker: DockerWorker
    cable: FaultProxy  # from the host to the server


@contextlib.contextmanager
def a_host(hodei: Hodei, folder: Path) -> Iterator[Host]:
    engine = OwnEngine(folder)
    try:
        engine.up()
        tiny_image.build(engine.socket)
        listener = in_network_of(engine.pid, listener_on_loopback)
        with FaultProxy(hodei.addresses[0], listener) as cable:
            theirs = dataclasses.replace(hodei, addresses=[cable.address])
            worker = DockerWorker.on(
                theirs, folder / folder.name, engine.socket, "--label", "on=host"
            )
            worker.prefix = ("nsenter", f"--net=/proc/{engine.pid}/ns/net")
            worker.up(hodei.token())
            try:
                yield Host(worker, cable)
            finally:
                worker.stop()
    finally:
        engine.end()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def hosts(hodei: Hodei) -> Iterator[list[Host]]:
    if reason := can_be_started():
        pytest.skip(reason)
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(a_host(hodei, Path(tempfile.mkdtemp(prefix="hodei-"))))
            for _ in range(2)
        ]


def submit(hodei: Hodei, command: str) -> str:
    """A job that either host may run."""
    spec = {"image": tiny_image.NAME, "network": "none", "labels": {"on": "host"}}
    spec |= {"command": command}
    ((job_id,),) = hodei.sql("SELECT hodei_enqueue(%s::jsonb)::text", json.dumps(spec))
    return str(job_id)


def test_a_short_cut_costs_nothing(hodei: Hodei, hosts: list[Host]) -> None:
    """Both hosts are cut while each runs a job; what was written meanwhile comes afterwards."""
    jobs = [submit(hodei, COUNT) for _ in range(10)]
    for job_id in jobs:
        hodei.wrote(job_id, "line 3\n")
    assert all(host.worker.containers() for host in hosts)
    for host in hosts:
        host.cable.stall()
    silent = "SELECT min(extract(epoch FROM clock_timestamp() - last_heartbeat)) > 2 FROM workers"
    eventually(lambda: hodei.sql(silent)[0][0])
    for host in hosts:
        host.cable.heal()
    for job_id in jobs:
        ended = hosts[0].worker.ended(job_id)
        assert (ended.state, ended.attempts, ended.text) == ("SUCCEEDED", 1, LINES), ended
    assert ("TERMINATED",) not in hodei.sql("SELECT DISTINCT state FROM workers")


def test_a_job_of_a_host_that_is_cut_off_runs_on_the_other(hodei: Hodei, hosts: list[Host]) -> None:
    """Once healed, the first host ends its container, whose lease no longer holds."""
    job_id = submit(hodei, UNTIL_LET_GO)
    hodei.wrote(job_id, "up\n")
    first = next(host for host in hosts if host.worker.containers())
    second = next(host for host in hosts if host is not first)
    first.cable.refuse()
    first.worker.fall_silent()
    hodei.back_off_ends(job_id)
    (container,) = eventually(second.worker.containers)
    assert first.worker.containers(), "nobody can tell it"
    first.cable.heal()
    eventually(lambda: first.worker.containers("-a") == [], 60)
    eventually(lambda: second.worker.docker("exec", container, "touch", "/tmp/go") == "")
    ended = second.worker.ended(job_id)
    assert (ended.state, ended.attempts) == ("SUCCEEDED", 2), ended
    assert ended.text.endswith("up\ndown\n")
    eventually(lambda: second.worker.containers("-a") == [])
