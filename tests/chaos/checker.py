"""The judge: reads a database at rest, and the jobs' own traces, and names everything that must not be.

`violations` is empty for a sound system. Each kind is planted in tests/chaos/test_checker.py and must be caught there.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from hodei.domain.job import FINAL, TRANSITIONS, JobState
from tests.conftest import Connection

Event = tuple[str, Any, str | None, str | None]


def violations(db: Connection, traces: list[tuple[str, str]] | None = None, expected_log: bytes | None = None) -> list[str]:
    """`traces`: a (job id, lease) for each start, as the jobs themselves wrote them down. `expected_log`: what every attempt that ended by
    itself has written."""
    found = [*_stories(db), *_queue(db), *_leases(db)]
    if traces is not None:
        found += _starts(db, traces)
    if expected_log is not None:
        found += _logs(db, expected_log)
    return found


def _stories(db: Connection) -> Iterator[str]:
    """State = events, each transition legal, times strictly increasing, one end at most."""
    for job_id, state, attempts, updated_at in db.execute("SELECT id::text, state, attempts, updated_at FROM jobs").fetchall():
        events: list[Event] = db.execute(
            "SELECT event_type, occurred_at, payload->>'old_state', payload->>'new_state' FROM domain_events "
            "WHERE aggregate_id = %s ORDER BY id",
            [job_id],
        ).fetchall()
        times = [event[1] for event in events]
        if times != sorted(set(times)):
            yield f"{job_id}: events tie or run backwards"
        if not times or times[-1] != updated_at:
            yield f"{job_id}: updated_at is not the time of its last event"
        now, started, problem = rebuilt(events)
        if problem:
            yield f"{job_id}: {problem}"
        if (now, started) != (state, attempts):
            yield f"{job_id}: is {state} after {attempts} attempts, its events say {now} after {started}"


def rebuilt(events: list[Event]) -> tuple[str | None, int, str]:
    """The state and number of attempts that the events tell, and what is wrong with them."""
    now: str | None = None
    started, problem = 0, ""
    for event_type, _, old_state, new_state in events:
        if event_type == "JobCreated":
            now = new_state
        elif event_type == "JobStatusChanged":
            if old_state != now or new_state not in TRANSITIONS[JobState(old_state or "PENDING")]:
                problem = f"illegal transition {now} → {old_state} → {new_state}"
            now, started = new_state, started + (new_state == JobState.RUNNING)
        elif event_type == "JobAssigned" and now in FINAL:
            problem = "assigned after its end"
    return now, started, problem


def _queue(db: Connection) -> Iterator[str]:
    """PENDING ⇔ a queue row, or an offer that is not accepted."""
    pending = {row[0] for row in db.execute("SELECT id FROM jobs WHERE state = 'PENDING'")}
    waiting = Counter(
        row[0] for row in db.execute("SELECT job_id FROM job_queue UNION ALL SELECT job_id FROM leases WHERE accepted_at IS NULL")
    )
    yield from (f"{job_id}: PENDING, but neither queued nor offered" for job_id in pending - set(waiting))
    yield from (f"{job_id}: queued or offered, but not PENDING" for job_id in set(waiting) - pending)
    yield from (f"{job_id}: queued and offered at once" for job_id, times in waiting.items() if times > 1)


def _leases(db: Connection) -> Iterator[str]:
    held = set(db.execute("SELECT job_id, lease FROM leases").fetchall())
    fenced = set(db.execute("SELECT id, lease FROM jobs WHERE lease IS NOT NULL").fetchall())
    yield from (f"{job_id}: lease {lease} is live, but its job does not know it" for job_id, lease in held - fenced)
    yield from (f"{job_id}: has lease {lease}, which is not live" for job_id, lease in fenced - held)


def _starts(db: Connection, traces: list[tuple[str, str]]) -> Iterator[str]:
    """What really ran: each lease at most once, and no more often than attempts were counted."""
    counted = {row[0]: row[1] for row in db.execute("SELECT id::text, attempts FROM jobs")}
    yield from (f"{job_id}: lease {lease} was started {n} times" for (job_id, lease), n in Counter(traces).items() if n > 1)
    for job_id, starts in Counter(job_id for job_id, _ in traces).items():
        if job_id not in counted:
            yield f"{job_id}: it ran, but there is no such job"
        elif starts > counted[job_id]:
            yield f"{job_id}: started {starts} times, {counted[job_id]} attempts counted"


def _logs(db: Connection, expected: bytes) -> Iterator[str]:
    """Of every job that succeeded: the last attempt's log is whole, in order, and says so."""
    rows = db.execute("""
        SELECT j.id::text, j.logs_complete, (
            SELECT string_agg(g.data, '' ORDER BY g.seq) FROM job_logs g
            WHERE g.job_id = j.id AND g.stream = 1 AND g.lease = (SELECT max(m.lease) FROM job_logs m WHERE m.job_id = j.id))
        FROM jobs j WHERE j.state = 'SUCCEEDED'
    """)
    for job_id, complete, data in rows:
        if not complete:
            yield f"{job_id}: succeeded with an incomplete log"
        elif bytes(data or b"") != expected:
            yield f"{job_id}: its log is not what it wrote"
