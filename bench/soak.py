"""`tools/soak --minutes 10 --rate 800`: jobs at a steady rate; what queue and lease tables leave
behind, sampled every 5 s."""

import argparse
import json
import statistics
import sys
import time

import psycopg

from bench.system import system
from verify.checker import violations

TABLES = ("job_queue", "leases", "jobs", "workers")

SAMPLE = """
SELECT relname, n_dead_tup, n_tup_upd, n_tup_hot_upd, pg_table_size(relid)
FROM pg_stat_user_tables
WHERE relname = ANY (%s)
"""

ENQUEUE = """SELECT count(*) FROM hodei_create_jobs((
    SELECT jsonb_agg(
        jsonb_build_object(
            'id', hodei_uuid7(), 'actor', 'bench', 'spec', '{"command": "true"}'::jsonb))
    FROM generate_series(1, %s)))"""


WAL = "SELECT (pg_current_wal_lsn() - '0/0')::bigint"
"""Bytes so far."""


def soak(minutes: float, rate: int) -> dict[str, object]:
    with system(servers=2) as under_test:
        for number in range(2):
            under_test.bench_worker(number, slots=100)
        with (
            psycopg.connect(under_test.url, autocommit=True) as enqueuer,
            psycopg.connect(under_test.url, autocommit=True) as watcher,
        ):
            samples: list[dict[str, int]] = []
            wal = _one(watcher, WAL)
            begun = time.monotonic()
            sampled, enqueued, behind = begun, 0, 0
            while (now := time.monotonic()) - begun < minutes * 60:
                due = int((now - begun) * rate) - enqueued
                if due > 0:
                    enqueuer.execute(ENQUEUE, [due])
                    enqueued += due
                if now - sampled >= 5:
                    sampled = now
                    samples.append(
                        {row[0]: row[1] for row in watcher.execute(SAMPLE, [list(TABLES)])}
                    )
                    behind = max(behind, _one(watcher, "SELECT count(*) FROM job_queue"))
                    print(
                        f"{now - begun:5.0f} s  {enqueued} jobs  dead: {samples[-1]}",
                        file=sys.stderr,
                        flush=True,
                    )
                time.sleep(0.05)
            _all_ended(watcher)
            written = _one(watcher, WAL) - wal
            ended = {row[0]: row for row in watcher.execute(SAMPLE, [list(TABLES)])}
            found = _judged(watcher)
        return {
            "jobs": enqueued,
            "jobs_per_s": rate,
            "minutes": minutes,
            "longest_queue": behind,
            "dead_tuples": {table: _spread([s[table] for s in samples]) for table in TABLES},
            "hot_updates": {
                table: round(ended[table][3] / max(1, ended[table][2]), 3) for table in TABLES
            },
            "bytes": {table: ended[table][4] for table in TABLES},
            "wal_kb_per_job": round(written / enqueued / 1000, 2),
            "violations": found,
        }


def _all_ended(watcher: psycopg.Connection[tuple[int, ...]]) -> None:
    deadline = time.monotonic() + 30
    while _one(watcher, "SELECT count(*) FROM leases") + _one(
        watcher, "SELECT count(*) FROM job_queue"
    ):
        if time.monotonic() > deadline:
            raise SystemExit("the queue is not empty 30 s after the last job")
        time.sleep(0.1)


def _spread(values: list[int]) -> dict[str, float]:
    return {"median": statistics.median(values), "max": max(values)}


def _one(conn: psycopg.Connection[tuple[int, ...]], statement: str) -> int:
    ((number,),) = conn.execute(statement.encode()).fetchall()
    return number


def _judged(conn: psycopg.Connection[tuple[object, ...]]) -> list[str]:
    """Of a sample of stories: the judge reads each job by itself, and there are hundreds of
    thousands."""
    conn.execute("DELETE FROM jobs WHERE random() < 1 - 2000.0 / (SELECT count(*) FROM jobs)")
    return violations(conn)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="tools/soak", description="Jobs at a steady rate; what the hot tables leave behind."
    )
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=int, default=800, help="jobs per second")
    given = parser.parse_args()
    result = soak(given.minutes, given.rate)
    print(json.dumps(result, indent=2))
    sys.exit(1 if result["violations"] else 0)


if __name__ == "__main__":
    main()
