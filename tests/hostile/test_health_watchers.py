"""Clients that watch a server's health and take no answer keep nothing from anybody."""

import signal

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hodei.health import FOR_WORKERS
from tests.end_to_end.test_health import NOT_SERVING, SERVING, health
from tests.eventually import eventually
from tests.hostile.conftest import attack
from tests.running import Hodei

WATCH = "/grpc.health.v1.Health/Watch"
READ_ONLY = "ALTER DATABASE {} SET default_transaction_read_only = on"
OTHERS = """
    SELECT count(pg_terminate_backend(pid))
    FROM pg_stat_activity
    WHERE datname = current_database()
      AND pid <> pg_backend_pid()
"""


def test_an_outage_is_told_to_others(one: Hodei) -> None:
    eventually(lambda: health(one, "") == SERVING)
    with attack("take_nothing", one.addresses[0], 50, 1, WATCH):
        one.sql(READ_ONLY.format(one.conn.info.dbname))
        one.sql(OTHERS)
        eventually(lambda: health(one, "") == NOT_SERVING, most_s=20)
        assert health(one, FOR_WORKERS) == SERVING


def test_a_drain_is_told_to_others(one: Hodei) -> None:
    eventually(lambda: health(one, "") == SERVING)
    (server,) = one.stack.parts
    with (
        attack("take_nothing", one.addresses[0], 50, 1, WATCH),
        grpc.insecure_channel(one.addresses[0]) as channel,
    ):
        stub = health_pb2_grpc.HealthStub(channel)
        services = [health_pb2.HealthCheckRequest(service=name) for name in ("", FOR_WORKERS)]
        told = [stub.Watch(service, timeout=20) for service in services]
        assert [next(one).status for one in told] == [SERVING] * 2
        server.process.send_signal(signal.SIGTERM)
        assert [next(one).status for one in told] == [NOT_SERVING] * 2
        server.process.send_signal(signal.SIGTERM)  # a second one ends at once
        assert server.process.wait(10) == 0
