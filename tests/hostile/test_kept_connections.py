"""Questions of callers that hang in the database leave connections for what jobs need."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import psycopg

from hodei.access.limits import DATABASE_TURNS
from tests.eventually import eventually
from tests.hostile.conftest import Attacker, through_another_address
from tests.running import Hodei

HANGING = """
    SELECT count(*)
    FROM pg_stat_activity
    WHERE datname = current_database()
      AND wait_event_type = 'Lock'
      AND position('worker_bootstrap_tokens' IN query) > 0
"""

DONE = """
    SELECT count(*)
    FROM jobs j
    WHERE j.state = 'SUCCEEDED'
      AND j.logs_complete
      AND EXISTS (SELECT FROM job_logs l WHERE l.job_id = j.id)
"""

SOON_S = 12.0
"""Less than the 15 s after which the first of the questions are given up."""


@contextmanager
def questions_that_hang(one: Hodei) -> Iterator[None]:
    """From two addresses, as one alone has not all of the turns."""
    with ExitStack() as stack:
        lock = stack.enter_context(psycopg.connect(one.url))
        lock.execute("LOCK TABLE worker_bootstrap_tokens IN ACCESS EXCLUSIVE MODE")
        other = stack.enter_context(through_another_address(one.addresses[0]))
        for address in (one.addresses[0], other):
            attacker = Attacker()
            stack.callback(attacker.end)
            attacker.begin("ask", address, 60, 6, "/hodei.v1.FleetService/ListTokens", "")
        eventually(lambda: one.sql(HANGING) == [(DATABASE_TURNS,)])
        yield
        assert one.sql(HANGING) == [(DATABASE_TURNS,)]


def test_jobs_run_while_all_connections_of_callers_hang(one: Hodei) -> None:
    one.stack.worker("worker", one.addresses[0], one.folder / "w", one.token())
    assert one.finish(one.submit("--command", "echo up"))["state"] == "SUCCEEDED"
    beat = "SELECT last_heartbeat FROM workers"
    with questions_that_hang(one):
        before = one.sql(beat)
        one.sql("""SELECT hodei_enqueue('{"command": "echo up"}') FROM generate_series(1, 20)""")
        eventually(lambda: one.sql(DONE) == [(21,)], SOON_S)
        eventually(lambda: one.sql(beat) > before, SOON_S)
