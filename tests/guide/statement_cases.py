"""What each SQL statement of the user's guide must show in the full scene, and on an empty system.

The full scene has: a job of each kind (finished, failed, running, offered, queued), two of them in
one workflow, a live worker and a lost one.
"""

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import Connection

STATEMENTS = dict(
    re.findall(
        r"^-- name: (\w+)\n(.*?)(?=^-- name: |\Z)",
        (Path(__file__).parent / "statements.sql").read_text(),
        re.DOTALL | re.MULTILINE,
    )
)
Rows = list[tuple[Any, ...]]
WORKFLOWS = ("workflow-123", "workflow-2025-12-22", "pipeline-123")


@dataclass
class Scene:
    finished: str
    failed: str
    running: str
    offered: str
    queued: str
    live: uuid.UUID
    lost: uuid.UUID


def ask(db: Connection, name: str, job_id: str = "", workflow: str = "") -> Rows:
    text = STATEMENTS[name]
    for placeholder in ("$JOB_ID", "TU_JOB_ID_AQUI", "TU_JOB_ID", "<JOB_ID>"):
        text = text.replace(placeholder, job_id or "00000000-0000-0000-0000-000000000001")
    for given in WORKFLOWS:
        text = text.replace(given, workflow or given)
    return db.execute(text.encode()).fetchall()


def column(rows: Rows, number: int) -> list[Any]:
    return [row[number] for row in rows]


def ids(*texts: str) -> list[uuid.UUID]:
    return [uuid.UUID(text) for text in texts]


def newest_first(s: Scene) -> list[uuid.UUID]:
    return ids(s.queued, s.offered, s.running, s.failed, s.finished)


FOUR = ["JobCreated", "JobAssigned", "JobStatusChanged", "JobStatusChanged"]

# name → what it must show in the full scene
SHOWS: dict[str, Callable[[Connection, Scene], bool]] = {
    "recent_jobs_pane": lambda db, s: (
        [(r[0], r[1], r[2]) for r in ask(db, "recent_jobs_pane")]
        == list(
            zip(
                newest_first(s),
                ["PENDING", "PENDING", "RUNNING", "FAILED", "SUCCEEDED"],
                [0, 0, 1, 1, 1],
                strict=True,
            )
        )
    ),
    "workers_pane": lambda db, s: (
        {r[0]: r[1] for r in ask(db, "workers_pane")} == {s.live: "READY", s.lost: "TERMINATED"}
    ),
    "queue_pane": lambda db, s: ask(db, "queue_pane") == [(1,)],
    "step_2_created": lambda db, s: (
        [r[:3] for r in ask(db, "step_2_created", s.queued)]
        == [(uuid.UUID(s.queued), "PENDING", "true")]
    ),
    "step_3_enqueued": lambda db, s: (
        [(r[0], r[2]) for r in ask(db, "step_3_enqueued", s.queued)]
        == [(uuid.UUID(s.queued), "PENDING")]
    ),
    "step_4_ready_workers": lambda db, s: (
        [(r[0], r[1], r[3] < 30) for r in ask(db, "step_4_ready_workers")]
        == [(s.live, "READY", True)]
    ),
    "step_5_events": lambda db, s: column(ask(db, "step_5_events", s.finished), 1) == FOUR,
    "debug_job_state": lambda db, s: (
        ask(db, "debug_job_state", s.failed)
        == [(f"ID: {s.failed} | Estado: FAILED | Intentos: 1",)]
    ),
    "debug_job_in_queue": lambda db, s: (
        ask(db, "debug_job_in_queue", s.queued) == [("SÍ - Está en job_queue",)]
    ),
    "debug_job_workers_ready": lambda db, s: ask(db, "debug_job_workers_ready") == [(1,)],
    "debug_job_spec": lambda db, s: (
        '"command": "true"' in ask(db, "debug_job_spec", s.queued)[0][0]
    ),
    "debug_job_recent_workers": lambda db, s: (
        [r[:2] for r in ask(db, "debug_job_recent_workers")] == [(s.live, "READY")]
    ),
    "status_jobs": lambda db, s: ask(db, "status_jobs") == [(2, 1, 1, 1)],
    "status_workers": lambda db, s: (
        sorted(ask(db, "status_workers")) == [("READY", 1), ("TERMINATED", 1)]
    ),
    "status_queue": lambda db, s: ask(db, "status_queue") == [(1,)],
    "status_providers": lambda db, s: (
        ask(db, "status_providers") == [("Docker", "ACTIVE", "Docker")]
    ),
    "status_tokens": lambda db, s: ask(db, "status_tokens") == [(3, 1)],
    "recent_jobs_with_queue": lambda db, s: (
        [(r[0], r[5]) for r in ask(db, "recent_jobs_with_queue")]
        == list(zip(newest_first(s), ["En Cola"] + ["No En Cola"] * 4, strict=True))
    ),
    "workers_with_heartbeat": lambda db, s: (
        [(r[0], r[4]) for r in ask(db, "workers_with_heartbeat")]
        == [(s.live, uuid.UUID(s.running)), (s.lost, None)]
    ),
    "pending_without_queue_row": lambda db, s: (
        column(ask(db, "pending_without_queue_row"), 0) == ids(s.offered)
    ),
    "event_sequence": lambda db, s: column(ask(db, "event_sequence", s.failed), 1) == FOUR,
    "timeline": lambda db, s: (
        [(r[1], r[2]) for r in ask(db, "timeline", s.finished)]
        == [(e, s.finished[:8]) for e in FOUR]
    ),
    "events_by_correlation": lambda db, s: (
        [(r[1], r[3], r[4]) for r in ask(db, "events_by_correlation", s.running)]
        == [("JobCreated", s.running, None), *[(e, s.running, str(s.live)) for e in FOUR[1:3]]]
    ),
    "jobs_of_workflow": lambda db, s: (
        column(ask(db, "jobs_of_workflow"), 0) == [s.finished] * 4 + [s.failed] * 4
    ),
    "events_by_actor": lambda db, s: (
        {r[0]: r[1] for r in ask(db, "events_by_actor")}["system:job_dispatcher"] == 4
    ),
    "jobs_without_audit": lambda db, s: (
        set(column(ask(db, "jobs_without_audit"), 3)) == {"✅ Con eventos"}
    ),
    "workflow_steps": lambda db, s: (
        column(ask(db, "workflow_steps", workflow="workflow-123"), 3)
        == [s.finished] * 4 + [s.failed] * 4
    ),
    "events_by_type": lambda db, s: (
        {r[0]: r[1] for r in ask(db, "events_by_type")}
        == {
            "JobCreated": 5,
            "JobStatusChanged": 5,
            "JobAssigned": 4,
            "WorkerRegistered": 2,
            "TokenCreated": 3,
            "TokenConsumed": 2,
            "WorkerStatusChanged": 3,
        }
    ),
    "busiest_actors": lambda db, s: (
        {r[0]: r[1] for r in ask(db, "busiest_actors")}["cli:test"] == 5
    ),
    "disconnected_workers": lambda db, s: (
        [(r[0], r[2] is not None) for r in ask(db, "disconnected_workers")] == [(s.lost, True)]
    ),
    "usable_tokens": lambda db, s: [r[2] for r in ask(db, "usable_tokens")] == [None],
    "scenario_3_started": lambda db, s: (
        [(r[1], r[2] is not None) for r in ask(db, "scenario_3_started", s.running)]
        == [("RUNNING", True)]
    ),
    "scenario_4_updated": lambda db, s: (
        [r[1] for r in ask(db, "scenario_4_updated", s.offered)] == ["PENDING"]
    ),
    "just_pending": lambda db, s: column(ask(db, "just_pending"), 0) == ids(s.queued, s.offered),
    "just_queue": lambda db, s: (
        [(r[0], r[2]) for r in ask(db, "just_queue")] == [(uuid.UUID(s.queued), "PENDING")]
    ),
    "just_workers": lambda db, s: (
        {r[1]: r[3] > 60 for r in ask(db, "just_workers")} == {"READY": False, "TERMINATED": True}
    ),
    "just_watch_jobs": lambda db, s: column(ask(db, "just_watch_jobs"), 0) == newest_first(s),
    "just_watch_queue": lambda db, s: ask(db, "just_watch_queue") == [(1,)],
    "transitions": lambda db, s: (
        [r[4:] for r in ask(db, "transitions", s.failed)]
        == [("PENDING", "RUNNING"), ("RUNNING", "FAILED")]
    ),
    "events_of_correlation_by_type": lambda db, s: (
        dict(ask(db, "events_of_correlation_by_type", s.running))
        == {"JobCreated": 1, "JobAssigned": 1, "JobStatusChanged": 1}
    ),
    "assigned_lately": lambda db, s: (
        [(r[2], r[3]) for r in ask(db, "assigned_lately")]
        == [(str(s.live), j) for j in (s.offered, s.running, s.failed, s.finished)]
    ),
    "acknowledged_lately": lambda db, s: (
        [(r[2], r[3]) for r in ask(db, "acknowledged_lately")]
        == [(j, "true") for j in (s.running, s.failed, s.finished)]
    ),
    "correlated_jobs": lambda db, s: (
        column(ask(db, "correlated_jobs", workflow="workflow-123"), 1) == FOUR * 2
    ),
    "health_exists": lambda db, s: ask(db, "health_exists", s.queued) == [(1,)],
    "health_state": lambda db, s: ask(db, "health_state", s.running) == [("RUNNING",)],
    "health_event_count": lambda db, s: ask(db, "health_event_count", s.finished) == [(4,)],
    "health_timeline": lambda db, s: column(ask(db, "health_timeline", s.finished), 1) == FOUR,
    "success_rate": lambda db, s: (
        [(r[0], r[1], r[2], float(r[3])) for r in ask(db, "success_rate")]
        == [("workflow-123", 2, 1, 50.0)]
    ),
}

COUNTS_OF_NOTHING = {
    "queue_pane": [(0,)],
    "debug_job_in_queue": [("NO - No está en job_queue",)],
    "debug_job_workers_ready": [(0,)],
    "status_jobs": [(None, None, None, None)],
    "status_queue": [(0,)],
    "status_tokens": [(0, 0)],
    "just_watch_queue": [(0,)],
    "health_exists": [(0,)],
    "health_event_count": [(0,)],
}

ALWAYS_SILENT = {"changed_without_events", "out_of_order"}
WRITES = {"clean", "provider_insert", "token_insert"}
