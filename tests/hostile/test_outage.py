"""PostgreSQL is away for 90 s, and a platform watches the servers as deploy/kubernetes tells it to: no
server is ended, no stream is cut, and no attempt is spent."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import psycopg
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hodei.local.embedded_postgres import EmbeddedPostgres
from hodei_worker.elsewhere import CONFIRM_S
from tests.conftest import TREE
from tests.eventually import eventually
from tests.hostile.test_postgres import server_of
from tests.running import Hodei, start
from verify.checker import violations

AWAY_S = 90.0


class Probe(threading.Thread):
    """Asks a server's health like a kubelet: each period, within a time-out; after this number of failures
    one behind the other it would act."""

    def __init__(self, address: str, service: str, probe: dict[str, int]) -> None:
        super().__init__(daemon=True)
        self._address, self._service, self._probe = address, service, probe
        self.over = threading.Event()
        self.failed = 0
        self.acted = False

    def run(self) -> None:
        with grpc.insecure_channel(self._address) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            while not self.over.wait(self._probe["periodSeconds"]):
                self.failed = 0 if self._is_well(stub) else self.failed + 1
                self.acted |= self.failed >= self._probe["failureThreshold"]

    def _is_well(self, stub: health_pb2_grpc.HealthStub) -> bool:
        request = health_pb2.HealthCheckRequest(service=self._service)
        try:
            answer = stub.Check(request, timeout=self._probe["timeoutSeconds"])
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


def probes_of(address: str) -> tuple[Probe, Probe]:
    """Liveness and readiness, as the manifest of the servers has them."""
    documents = yaml.safe_load_all((TREE / "deploy/kubernetes/servers.yaml").read_text())
    (deployment,) = (one for one in documents if one["kind"] == "Deployment")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    live, ready = container["livenessProbe"], container["readinessProbe"]
    assert live["exec"]["command"][-1] == "hodei.v1.WorkerService"
    return Probe(address, "hodei.v1.WorkerService", live), Probe(address, "", ready)


@pytest.fixture
def system(open_folder: Path, tmp_path: Path) -> Iterator[tuple[Hodei, EmbeddedPostgres]]:
    with EmbeddedPostgres(open_folder / "pg") as postgres:
        hodei = start(server_of(postgres.dsn()), tmp_path)
        try:
            yield hodei, postgres
        finally:
            hodei.stack.stop()
            hodei.conn.close()


def is_back(hodei: Hodei, server: int) -> bool:
    return "the database is back: serving" in hodei.log(f"server-{server}")


def streams_opened(hodei: Hodei) -> list[int]:
    """By each of the four workers, so far."""
    return [hodei.log(f"worker-{number}").count("connected to") for number in range(4)]


def test_no_stream_is_cut_and_no_attempt_is_spent(system: tuple[Hodei, EmbeddedPostgres]) -> None:
    hodei, postgres = system
    for number in range(4):
        state = hodei.folder / f"w{number}"
        servers = ",".join(hodei.addresses)
        hodei.stack.worker(f"worker-{number}", servers, state, hodei.token(), "--slots", "4")
    write = "for i in $(seq 1 1000); do echo $i; sleep 0.1; done"
    long = [hodei.submit("--command", command) for command in (write, write, "sleep 100")]
    short = [
        hodei.submit("--command", f"echo {n}; sleep 0.{n % 10}", "--run-at", f"+{n % 7 + 1}s")
        for n in range(40)
    ]
    for job_id in long:
        hodei.until(job_id, "RUNNING")
    probes = [probe for address in hodei.addresses for probe in probes_of(address)]
    for probe in probes:
        probe.start()

    hodei.conn.close()
    before = streams_opened(hodei)
    postgres.stop()
    time.sleep(AWAY_S)
    assert streams_opened(hodei) == before, "none is cut while the database is away"
    assert [probe.acted for probe in probes] == [False, True] * 2, "live, and not ready"
    postgres.start()
    eventually(lambda: all(is_back(hodei, n) for n in range(len(hodei.addresses))), CONFIRM_S)
    hodei.conn = psycopg.connect(hodei.url, autocommit=True, options="-c timezone=UTC")

    hodei.all_succeeded([*long, *short])
    attempts = "SELECT sum(attempts), max(attempts) FROM jobs"
    assert hodei.sql(attempts) == [(len(long) + len(short), 1)]
    for number, opened in enumerate(streams_opened(hodei)):
        log = hodei.log(f"worker-{number}")
        moved_by_balancer = log.count("workers are spread over the servers")
        assert opened == 1 + moved_by_balancer, log
    assert hodei.wrote(long[0]).split() == [str(n) for n in range(1, 1001)]
    assert violations(hodei.conn, undisturbed=True) == []
    eventually(lambda: not any(probe.failed for probe in probes))
    for probe in probes:
        probe.over.set()
        probe.join()
