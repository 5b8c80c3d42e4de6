"""A job as it is shown to people."""

import json
from typing import Any

from hodei.cli import show
from hodei.domain.job import FINAL
from hodei.shapes.job import Job


def summary(payload: dict[str, Any]) -> str:
    """The payload of an event in a few words."""
    parts = []
    if "new_state" in payload:
        parts.append(
            f"{payload['old_state']} → {payload['new_state']}"
            if "old_state" in payload
            else payload["new_state"]
        )
    shown = ("reason", "exit_code", "signal", "attempt", "lease", "worker_id")
    parts += [f"{key}={payload[key]}" for key in shown if payload.get(key) is not None]
    return " ".join(parts)


def took(job: Job) -> str:
    """Returns how long the last attempt took; empty until it has ended."""
    if job.started_at and job.completed_at:
        return show.duration((job.completed_at - job.started_at) / 1e6)
    return ""


def worker(job: Job) -> str:
    """Returns the name of the worker that has it or had it last; of one without a name, or whose
    row is gone, its id."""
    return job.worker_name or show.short_id(job.worker_id)


def show_job(job: Job, output: str) -> None:
    """All about a job, as JSON or as a list of fields."""
    if not show.emit(output, job):
        show.fields(
            [*_what(job), *_when(job), ("took", took(job)), *_cost(job)],
        )


def _what(job: Job) -> list[tuple[str, str]]:
    command = json.loads(job.spec)["command"] if job.spec else ""
    return [
        ("id", job.job_id),
        ("name", job.name),
        ("state", job.state),
        ("waits for", job.waiting_for or ""),
        ("reason", job.reason or ""),
        ("message", job.message or ""),
        ("exit code", _number(job.exit_code)),
        ("signal", _number(job.signal)),
        ("cancel", job.cancel or ""),
        ("command", command if isinstance(command, str) else " ".join(command)),
        ("attempts", str(job.attempts)),
        ("priority", str(job.priority)),
        ("correlation id", job.correlation_id),
        ("actor", job.actor),
        ("repeats", job.retry_of or ""),
        ("worker", job.worker_id or ""),
    ]


def _when(job: Job) -> list[tuple[str, str]]:
    return [
        ("created", show.clock(job.created_at)),
        ("not before", show.clock(job.run_at)),
        ("started", show.clock(job.started_at)),
        ("completed", show.clock(job.completed_at)),
    ]


def _cost(job: Job) -> list[tuple[str, str]]:
    return [
        ("memory", show.size(job.peak_memory_bytes) if job.peak_memory_bytes else ""),
        ("CPU time", show.duration(job.cpu_s) if job.cpu_s else ""),
        ("log", _log(job)),
        ("left over", _left_over(job)),
    ]


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def _log(job: Job) -> str:
    if not job.attempts:
        return ""
    words = show.size(job.log_bytes)
    if job.log_dropped_bytes:
        words += f", {job.log_dropped_bytes} B left out"
    return words if job.logs_complete or job.state not in FINAL else f"{words}, incomplete"


def _left_over(job: Job) -> str:
    killed, unknown = job.leftover_processes, job.leftover_unknown
    words = [
        f"{killed} processes, killed" if killed else "",
        f"{unknown} that may be another job's, alive" if unknown else "",
    ]
    return "; ".join(filter(None, words))
