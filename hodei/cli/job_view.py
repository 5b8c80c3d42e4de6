"""A job as it is shown to people."""

import json
from typing import Any

from hodei.cli import show
from hodei.cli.waits import waits_for
from hodei.domain.job import FINAL
from hodei.domain.project import DEFAULT
from hodei.shapes.job import Attempt, Job


def took(job: Job) -> str:
    """Returns how long the last attempt took; empty until it has ended."""
    if job.started_at and job.completed_at:
        return show.duration((job.completed_at - job.started_at) / 1e6)
    return ""


def worker(of: Job | Attempt) -> str:
    """Returns the name of the worker that has it or had it last; of one without a name, or whose
    row is gone, its id."""
    return of.worker_name or show.short_id(of.worker_id)


def show_job(job: Job, output: str) -> None:
    """All about a job, as JSON or as a list of fields."""
    if not show.emit(output, job):
        show.fields(
            [*_what(job), *_when(job), ("took", took(job)), *_cost(job)],
        )


def _spec(job: Job) -> dict[str, Any]:
    """Its spec; empty where a hand has left nothing of it."""
    spec = json.loads(job.spec) if job.spec else {}
    return spec if isinstance(spec, dict) else {}


def _command(job: Job) -> str:
    """What it runs, on one line."""
    command = _spec(job).get("command", "")
    return " ".join(map(str, command)) if isinstance(command, list) else str(command)


def _worker(job: Job) -> str:
    return f"{job.worker_name} ({job.worker_id})" if job.worker_name else job.worker_id or ""


def _what(job: Job) -> list[tuple[str, str]]:
    return [
        ("id", job.job_id),
        ("name", job.name),
        ("state", job.state),
        ("waits for", waits_for(job.waiting_for)),
        ("reason", job.reason or ""),
        ("message", job.message or ""),
        ("exit code", _number(job.exit_code)),
        ("signal", _number(job.signal)),
        ("cancel", job.cancel or ""),
        ("image", str(_spec(job).get("image", ""))),
        ("command", _command(job)),
        ("attempts", str(job.attempts)),
        ("priority", str(job.priority)),
        ("correlation id", job.correlation_id),
        ("actor", job.actor),
        ("project", "" if job.project == DEFAULT else job.project),
        ("repeats", job.retry_of or ""),
        ("worker", _worker(job)),
    ]


def _when(job: Job) -> list[tuple[str, str]]:
    return [
        ("created", show.clock(job.created_at)),
        ("not before", show.clock(job.run_at)),
        ("started", show.clock(job.started_at)),
        ("completed", show.clock(job.completed_at)),
    ]


def _cost(job: Job) -> list[tuple[str, str]]:
    how = " (sampled)" if "image" in _spec(job) else ""
    return [
        ("memory", f"{show.size(job.peak_memory_bytes)}{how}" if job.peak_memory_bytes else ""),
        ("CPU time", f"{show.duration(job.cpu_s)}{how}" if job.cpu_s else ""),
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
