"""What gRPC's health service says: to callers, and to workers, who stay through an outage."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hodei.protocol import hodei_pb2 as pb
from tests.eventually import eventually
from tests.running import Hodei

SERVING, NOT_SERVING = (
    health_pb2.HealthCheckResponse.SERVING,
    health_pb2.HealthCheckResponse.NOT_SERVING,
)


def health(hodei: Hodei, service: str, server: int = 0) -> int:
    with grpc.insecure_channel(hodei.addresses[server]) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service=service), timeout=5
        )
        return int(answer.status)


def test_a_database_that_cannot_be_written_is_told_to_callers_and_keeps_workers(
    fresh: Hodei,
) -> None:
    fresh.stack.worker("worker", ",".join(fresh.addresses), fresh.folder / "w", fresh.token())
    eventually(lambda: health(fresh, "") == SERVING)
    assert "the database is back" not in fresh.log("server-0"), "it was never away"
    gate = fresh.folder / "gate"
    running = fresh.submit("--command", f"until [ -e {gate} ]; do sleep 0.1; done; echo done")
    fresh.until(running, "RUNNING")
    name = fresh.conn.info.dbname
    others = """
        SELECT count(pg_terminate_backend(pid))
        FROM pg_stat_activity
        WHERE datname = current_database()
          AND pid <> pg_backend_pid()
    """
    fresh.sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    fresh.sql(others)
    eventually(lambda: health(fresh, "") == NOT_SERVING, most_s=20)
    assert health(fresh, "hodei.v1.WorkerService") == SERVING
    refused = fresh.run("job", "submit", "--command", "true")
    assert refused.code == 125
    assert "the database is read-only" in refused.err
    assert len(refused.err.splitlines()) == 1
    fresh.conn.execute("SET default_transaction_read_only = off")
    fresh.sql(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    fresh.sql(others)
    eventually(lambda: health(fresh, "") == SERVING, most_s=20)
    gate.touch()
    job = fresh.finish(running)
    assert (job["state"], job["attempts"], job["logs_complete"]) == ("SUCCEEDED", 1, True)
    log = fresh.log("server-0") + fresh.log("server-1")
    assert "no database that can be written answers: not serving" in log
    assert "the database is back: serving" in fresh.log("server-0")
    assert "Traceback" not in log


def test_each_service_has_its_status(hodei: Hodei) -> None:
    services = pb.DESCRIPTOR.services_by_name.values()
    eventually(lambda: all(health(hodei, one.full_name) == SERVING for one in services))
    with grpc.insecure_channel(hodei.addresses[0]) as channel:
        listed = health_pb2_grpc.HealthStub(channel).List(health_pb2.HealthListRequest(), timeout=5)
    statuses = {name: answer.status for name, answer in listed.statuses.items()}
    assert statuses == dict.fromkeys(["", *(one.full_name for one in services)], SERVING)
