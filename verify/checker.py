"""The judge: reads a database at rest, and the jobs' own traces, and names everything that must not
be.

`violations` is empty for a sound system. Each kind is planted in tests/chaos/test_checker.py and
must be caught there."""

import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from psycopg.rows import TupleRow

from hodei.domain.job import FINAL, JobState, may_become

Connection = psycopg.Connection[TupleRow]
Event = tuple[str, Any, str | None, str | None]


class Trace(NamedTuple):
    """What one start of a job really did, written down by the job itself: each line first to
    stdout, then here."""

    job_id: str
    lease: int
    starts: int
    wrote: bytes


def traces_in(folder: Path) -> list[Trace]:
    """Files named JOB.LEASE; a start writes the first line `start`."""
    found = []
    for path in sorted(folder.iterdir()):
        job_id, _, lease = path.name.partition(".")
        lines = path.read_bytes().splitlines(keepends=True)
        found.append(
            Trace(
                job_id,
                int(lease),
                lines.count(b"start\n"),
                b"".join(line for line in lines if line != b"start\n"),
            )
        )
    return found


def violations(
    db: Connection,
    traces: Sequence[Trace] = (),
    *,
    undisturbed: bool = False,
    poisoned: Collection[str] = (),
    evil: Collection[str] = (),
    supervisors_die: bool = True,
) -> list[str]:
    """`undisturbed`: nothing happened but deploys of servers, so every job has had exactly one
    attempt. Of a `poisoned` job, whose rows a hand has changed, nothing is asked but that it has
    ended. `evil`: ids of workers that were given no job. `supervisors_die`: one was killed."""
    found = [
        *_stories(db),
        *_queue(db),
        *_leases(db),
        *_chunks(db),
        *_starts(db, traces),
        *_logs(db, traces),
        *_strangers(db, evil),
        *_faults(db),
        *([] if supervisors_die else _losses(db)),
    ]
    found = [violation for violation in found if violation.partition(":")[0] not in poisoned]
    if undisturbed:
        spent = db.execute("SELECT id, attempts FROM jobs WHERE attempts <> 1").fetchall()
        found += [
            f"{job_id}: {attempts} attempts, though only servers were deployed"
            for job_id, attempts in spent
        ]
    return found


def _stories(db: Connection) -> Iterator[str]:
    """State = events, each transition legal, times strictly increasing, one end at most."""
    for job_id, state, attempts, updated_at in db.execute(
        # Python knows no end of time
        "SELECT id::text, state, attempts, extract(epoch FROM updated_at) FROM jobs"
    ).fetchall():
        events: list[Event] = db.execute(
            "SELECT event_type, extract(epoch FROM occurred_at), payload->>'old_state', payload->>'new_state' FROM domain_events "
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
            if old_state != now or not _legal(old_state, new_state):
                problem = f"illegal transition {now} → {old_state} → {new_state}"
            now, started = new_state, started + (new_state == JobState.RUNNING)
        elif event_type == "JobAssigned" and now in FINAL:
            problem = "assigned after its end"
    return now, started, problem


def _legal(old: str | None, new: str | None) -> bool:
    try:
        return may_become(JobState(old or ""), JobState(new or ""))
    except ValueError:
        return False


def _queue(db: Connection) -> Iterator[str]:
    """PENDING ⇔ a queue row, or an offer that is not accepted."""
    pending = {row[0] for row in db.execute("SELECT id FROM jobs WHERE state = 'PENDING'")}
    waiting = Counter(
        row[0]
        for row in db.execute(
            "SELECT job_id FROM job_queue UNION ALL SELECT job_id FROM leases WHERE accepted_at IS NULL"
        )
    )
    yield from (
        f"{job_id}: PENDING, but neither queued nor offered" for job_id in pending - set(waiting)
    )
    yield from (
        f"{job_id}: queued or offered, but not PENDING" for job_id in set(waiting) - pending
    )
    yield from (
        f"{job_id}: queued and offered at once" for job_id, times in waiting.items() if times > 1
    )


def _leases(db: Connection) -> Iterator[str]:
    held = set(db.execute("SELECT job_id, lease FROM leases").fetchall())
    fenced = set(db.execute("SELECT id, lease FROM jobs WHERE lease IS NOT NULL").fetchall())
    yield from (
        f"{job_id}: lease {lease} is live, but its job does not know it"
        for job_id, lease in held - fenced
    )
    yield from (
        f"{job_id}: has lease {lease}, which is not live" for job_id, lease in fenced - held
    )
    twice = db.execute(
        "SELECT payload->>'lease', count(*) FROM domain_events WHERE event_type = 'JobAssigned' GROUP BY 1 HAVING count(*) > 1"
    )
    yield from (f"lease {lease} was given {times} times" for lease, times in twice)
    late = db.execute(
        "SELECT payload->>'lease', count(*) FROM domain_events WHERE event_type = 'JobLateResult' GROUP BY 1 HAVING count(*) > 1"
    )
    yield from (f"lease {lease} has {times} late results" for lease, times in late)


def _chunks(db: Connection) -> Iterator[str]:
    """Under each lease: seq without holes from 0, each stream's bytes following each other, unless
    a notice says how many are left out."""
    holes = db.execute("""
        SELECT job_id, lease FROM job_logs GROUP BY job_id, lease HAVING min(seq) <> 0 OR max(seq) + 1 <> count(*)""")
    yield from (f"{job_id}: the log of lease {lease} has a hole" for job_id, lease in holes)
    jumps = db.execute("""
        SELECT DISTINCT g.job_id, g.lease FROM (
            SELECT job_id, lease, seq, byte_offset, lag(seq, 1, -1::bigint) OVER of_stream AS last_seq,
                   lag(byte_offset + octet_length(data), 1, 0::bigint) OVER of_stream AS before
            FROM job_logs
            WINDOW of_stream AS (PARTITION BY job_id, lease, stream ORDER BY seq)) g
        WHERE g.byte_offset <> g.before AND NOT (g.byte_offset > g.before AND EXISTS (
            SELECT FROM job_logs n
            WHERE n.job_id = g.job_id AND n.lease = g.lease AND n.stream = 3 AND n.seq > g.last_seq AND n.seq < g.seq
              AND convert_from(n.data, 'UTF8') LIKE '%bytes left out%'))""")
    yield from (f"{job_id}: the log of lease {lease} jumps" for job_id, lease in jumps)


def _starts(db: Connection, traces: Sequence[Trace]) -> Iterator[str]:
    """What really ran: each lease at most once, and none that the story does not know as an attempt
    or as an offer taken back."""
    told = set(
        db.execute("""
        SELECT aggregate_id, (payload->>'lease')::bigint FROM domain_events
        WHERE event_type IN ('JobUnassigned', 'JobLateResult') OR event_type = 'JobStatusChanged' AND payload->>'new_state' = 'RUNNING'""")
    )
    for trace in traces:
        if trace.starts > 1:
            yield f"{trace.job_id}: lease {trace.lease} was started {trace.starts} times"
        if (trace.job_id, trace.lease) not in told:
            yield f"{trace.job_id}: lease {trace.lease} ran, and nothing tells of it"


def _logs(db: Connection, traces: Sequence[Trace]) -> Iterator[str]:
    """Byte for byte: of an attempt that ended by itself all that it wrote; of one that was killed
    all but for its last words, unless the gap is stated."""
    stored: dict[tuple[str, int], bytes] = {
        (row[0], row[1]): bytes(row[2])
        for row in db.execute(
            "SELECT job_id::text, lease, string_agg(data, '' ORDER BY seq) FROM job_logs WHERE stream = 1 GROUP BY 1, 2"
        )
    }
    ends: dict[tuple[str, int], tuple[bool | None, bool]] = {
        (row[0], row[1]): (row[2], row[3])
        for row in db.execute("""
            SELECT aggregate_id, (payload->>'lease')::bigint, (payload->>'logs_complete')::boolean, payload ? 'exit_code'
            FROM domain_events WHERE event_type = 'JobStatusChanged' AND payload->>'old_state' = 'RUNNING' AND payload ? 'lease'""")
    }
    for trace in traces:
        log = stored.get((trace.job_id, trace.lease), b"")
        complete, by_itself = ends.get((trace.job_id, trace.lease), (False, False))
        if by_itself and complete and log != trace.wrote:
            yield f"{trace.job_id}: the log of lease {trace.lease} is not what it wrote ({len(log)} bytes of {len(trace.wrote)})"
        elif complete and not log.startswith(trace.wrote):
            yield f"{trace.job_id}: the log of lease {trace.lease} says that it is complete, and is not"
        elif not log.startswith(trace.wrote) and not trace.wrote.startswith(log):
            yield f"{trace.job_id}: the log of lease {trace.lease} holds what was never written"
    incomplete = db.execute(
        "SELECT id FROM jobs WHERE state = 'SUCCEEDED' AND logs_complete IS NOT TRUE"
    )
    yield from (f"{row[0]}: succeeded with an incomplete log" for row in incomplete)


def _strangers(db: Connection, evil: Collection[str]) -> Iterator[str]:
    """Who was given no job has no word in any job's story."""
    said = db.execute(
        "SELECT aggregate_id, event_type, worker_id::text FROM domain_events e "
        "WHERE e.worker_id::text = ANY (%s) AND e.event_type LIKE 'Job%%'",
        [list(evil)],
    )
    yield from (
        f"{job_id}: {event_type} tells of worker {worker_id}, which lies"
        for job_id, event_type, worker_id in said
    )


def _faults(db: Connection) -> Iterator[str]:
    """Nothing that a job does is unforeseen."""
    internal = db.execute("SELECT id::text, message FROM jobs WHERE reason = 'INTERNAL'")
    yield from (f"{job_id}: ended INTERNAL: {message}" for job_id, message in internal)


def _losses(db: Connection) -> Iterator[str]:
    """Where nobody killed a supervisor none has died."""
    lost = db.execute(
        "SELECT aggregate_id, payload->>'message' FROM domain_events "
        "WHERE event_type = 'JobStatusChanged' AND payload->>'message' LIKE '%supervisor died%'"
    )
    yield from (f"{job_id}: lost by no fault: {message}" for job_id, message in lost)


def orphans(jobs: set[str]) -> list[str]:
    """Processes that carry one of these jobs' ids, when none should run any more."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                environment = (entry / "environ").read_bytes().split(b"\0")
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            ids = [
                e.partition(b"=")[2].decode() for e in environment if e.startswith(b"HODEI_JOB_ID=")
            ]
            if command and ids and ids[0] in jobs:
                found.append(f"{ids[0]}: process {entry.name} of it still lives")
    return found
