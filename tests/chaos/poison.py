"""Jobs spoilt by hand: rows changed by SQL so that a statement fails on them, or that nothing would
move on by itself.

A poisoned job may end FAILED (REJECTED, say), or be cancelled by a person; it has to end, and no
other job may notice."""

import random
import threading
import time
from collections.abc import Callable

import psycopg
from psycopg.types.json import Jsonb

from tests.conftest import Connection

LOCKED_S = 20.0
"""For which somebody's transaction holds a job's row."""

BEFORE_IT_RUNS = {
    "its last event is at the end of time": """
        UPDATE jobs
        SET updated_at = '294276-12-31 23:59:59.999999+00'
        WHERE id = %s
    """,
    "its last event is at infinity": "UPDATE jobs SET updated_at = 'infinity' WHERE id = %s",
    "it was created at infinity": "UPDATE jobs SET created_at = 'infinity' WHERE id = %s",
    "it is never ready": """
        UPDATE job_queue
        SET waiting = 'RUN_AT', ready_at = 'infinity'
        WHERE job_id = %s
    """,
    "it is older than time": "UPDATE job_queue SET enqueued_at = '-infinity' WHERE job_id = %s",
    "it never expires": "UPDATE job_queue SET expires_at = 'infinity' WHERE job_id = %s",
    "a lease was left over": """
        INSERT INTO leases (lease, job_id, worker_id, attempt, enqueued_at, offered_at, accept_by)
        VALUES (nextval('hodei_lease_seq'), %s, gen_random_uuid(), 1, now(), now(),
                now() + interval '5 s')
    """,
    "its attempts are below 0": "UPDATE jobs SET attempts = -1 WHERE id = %s",
    "its attempts are all used up": "UPDATE jobs SET attempts = 2147483647 WHERE id = %s",
    "its failures are all used up": """
        UPDATE jobs
        SET failures = 2147483647, losses = 2147483647
        WHERE id = %s
    """,
    "its time-outs are below 0": """
        UPDATE jobs
        SET timeout_ms = -1, silence_timeout_ms = -1, grace_ms = -1
        WHERE id = %s
    """,
    "its time-outs are endless": """
        UPDATE jobs
        SET timeout_ms = 9223372036854775807, silence_timeout_ms = 9223372036854775807,
            grace_ms = 9223372036854775807, start_timeout_ms = 9223372036854775807
        WHERE id = %s
    """,
    "its retries are below 0": "UPDATE jobs SET retries = -5 WHERE id = %s",
    "its spec is a list": "UPDATE jobs SET spec = '[]' WHERE id = %s",
    "its spec is null": "UPDATE jobs SET spec = 'null' WHERE id = %s",
    "its command is a number": "UPDATE jobs SET spec = spec || '{\"command\": 7}' WHERE id = %s",
    "its environment is text": 'UPDATE jobs SET spec = spec || \'{"env": "none"}\' WHERE id = %s',
    "its limits are words": """
        UPDATE jobs
        SET spec = spec || '{"timeout": "soon", "log_limit": [], "grace": {}}'
        WHERE id = %s
    """,
    "its labels are a list": "UPDATE job_queue SET labels = '[1]' WHERE job_id = %s",
    "its name is forged": "UPDATE jobs SET name = E'x\\x1b[2J\\nforged', actor = E'\\n', correlation_id = E'\\n\\x07' WHERE id = %s",
    "no trigger lets it go on": "UPDATE jobs SET name = 'nobody moves' WHERE id = %s",
}

NEVER_BY_ITSELF = {"it is never ready", "its labels are a list"}
"""A job spoilt so waits for ever, as it says: a person cancels it."""

WHILE_IT_RUNS = {
    "its last event is at the end of time": """
        UPDATE jobs
        SET updated_at = '294276-12-31 23:59:59.999999+00'
        WHERE id = %s
    """,
    "it was queued before time": "UPDATE leases SET enqueued_at = '-infinity' WHERE job_id = %s",
    "it may run for ever": """
        UPDATE leases
        SET end_by = 'infinity', start_by = 'infinity'
        WHERE job_id = %s
    """,
    "its silence is no number": "UPDATE leases SET silence_s = 'NaN' WHERE job_id = %s",
    "its silence is endless": "UPDATE leases SET silence_s = 'infinity' WHERE job_id = %s",
    "its log is at its end": "UPDATE leases SET log_bytes = 9223372036854775807 WHERE job_id = %s",
    "its lease is gone": "DELETE FROM leases WHERE job_id = %s",
    "it is queued as well": "INSERT INTO job_queue (job_id) VALUES (%s)",
    "its losses are all used up": """
        UPDATE jobs
        SET losses = 2147483647, lone_losses = 2147483647
        WHERE id = %s
    """,
}

TRIGGER = """
CREATE OR REPLACE FUNCTION chaos_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'not with me';
END $$;
CREATE OR REPLACE TRIGGER chaos_refuses BEFORE UPDATE ON jobs
FOR EACH ROW WHEN (OLD.name = 'nobody moves') EXECUTE FUNCTION chaos_refuse();
"""

ODD_SPECS = (
    '{"command": "true", "silence_timeout": 1e-400}',
    '{"command": "true", "timeout": 0.00049}',
    '{"command": "true", "grace": 1e-400}',
    '{"command": "true", "run_at": "9999-12-31T23:59:59-14:00"}',
    '{"command": "true", "run_at": "2999-12-31T23:59:59+15:59"}',
    '{"command": "true", "priority": 1e-400}',
    '{"command": "true", "env": {"A": "\\u0001"}}',
    '{"command": "\\u001b[2J\\nx"}',
    '{"command": ["true", "\\u202e"]}',
    '{"command": "true", "timeout": 1e400}',
    "[]",
    '{"command": ["/nowhere"]}',
)


class Poison:
    """`jobs`: what was spoilt, and how, for the judge. `waiting`: those of them that do not end by
    themselves."""

    def __init__(
        self, dice: random.Random, connect: Callable[[], Connection], labels: dict[str, str]
    ) -> None:
        self._dice = dice
        self._connect = connect
        self._labels = labels
        self._holders: list[threading.Thread] = []
        self._over = threading.Event()
        self.jobs: dict[str, str] = {}
        self.waiting: set[str] = set()

    def poisoned_waiting(self) -> None:
        """Before any claim sees it: in the transaction that creates it."""
        how = self._dice.choice(list(BEFORE_IT_RUNS))
        with self._connect() as conn, conn.transaction():
            if "trigger" in how:
                conn.execute(TRIGGER.encode())
            job_id = self._create(conn, "sleep 0.2")
            conn.execute(BEFORE_IT_RUNS[how].encode(), [job_id])
        self.jobs[job_id] = how
        if how in NEVER_BY_ITSELF:
            self.waiting.add(job_id)

    def poisoned_running(self) -> None:
        """In the middle of its run, where one starts within 5 s."""
        how = self._dice.choice(list(WHILE_IT_RUNS))
        with self._connect() as conn:
            job_id = self._create(conn, "for n in 1 2 3 4 5 6; do echo $n; sleep 0.5; done")
            self.jobs[job_id] = how
            deadline = time.monotonic() + 5
            while time.monotonic() < deadline:
                if conn.execute(
                    "SELECT 1 FROM jobs WHERE id = %s AND state = 'RUNNING'", [job_id]
                ).fetchone():
                    conn.execute(WHILE_IT_RUNS[how].encode(), [job_id])
                    return
                time.sleep(0.05)

    def odd_spec(self) -> None:
        """What the door takes has to end as any job; what it refuses is no job."""
        spec = self._dice.choice(ODD_SPECS)
        with self._connect() as conn:
            try:
                row = conn.execute("SELECT hodei_enqueue(%s::jsonb)::text", [spec]).fetchone()
            except psycopg.DataError:
                return
        assert row
        self.jobs[str(row[0])] = f"odd spec {spec}"
        if "run_at" in spec:
            self.waiting.add(str(row[0]))

    def unqueued(self) -> None:
        """An operator's DELETE: these jobs are as good as any, and have to be found and run."""
        with self._connect() as conn:
            conn.execute(
                """
                DELETE FROM job_queue
                WHERE job_id IN (SELECT job_id FROM job_queue ORDER BY random() LIMIT 5)
                """
            )

    def row_locked(self) -> None:
        """Somebody's transaction holds the row of a live job for LOCKED_S, and goes on beside the
        next faults."""
        holder = threading.Thread(target=self._hold, args=(self._dice.random(),))
        holder.start()
        self._holders.append(holder)

    def _hold(self, which: float) -> None:
        try:
            with self._connect() as conn, conn.transaction():
                live = conn.execute(
                    "SELECT id FROM jobs WHERE completed_at IS NULL ORDER BY id"
                ).fetchall()
                if live:
                    conn.execute(
                        "SELECT FROM jobs WHERE id = %s FOR UPDATE",
                        [live[int(which * len(live))][0]],
                    )
                    self._over.wait(LOCKED_S)
        except psycopg.OperationalError:
            return  # the database was restarted meanwhile, and the lock went with it

    def end(self) -> None:
        """No lock is held any more, and the trigger is gone."""
        self._over.set()
        for holder in self._holders:
            holder.join()
        with self._connect() as conn:
            conn.execute("DROP TRIGGER IF EXISTS chaos_refuses ON jobs")

    def _create(self, conn: Connection, command: str) -> str:
        row = conn.execute(
            "SELECT hodei_enqueue(%s)::text", [Jsonb({"command": command, "labels": self._labels})]
        ).fetchone()
        assert row
        return str(row[0])
