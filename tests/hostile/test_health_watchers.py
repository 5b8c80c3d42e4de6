"""Clients that watch a server's health and take no answer keep nothing from anybody."""

import signal

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
        assert health(one, "hodei.v1.WorkerService") == SERVING


def test_a_server_drains(one: Hodei) -> None:
    eventually(lambda: health(one, "") == SERVING)
    (server,) = one.stack.parts
    with attack("take_nothing", one.addresses[0], 50, 1, WATCH):
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: health(one, "") == NOT_SERVING, most_s=5)
        server.process.send_signal(signal.SIGTERM)  # a second one ends at once
        assert server.process.wait(10) == 0
