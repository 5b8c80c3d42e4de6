"""Jobs and attempts as they are shown."""

import json
from typing import Any

from hodei.cli import show


def attempt_dict(one: Any) -> dict[str, Any]:
    return {
        **{key: getattr(one, key) for key in ("attempt", "lease", "worker_id", "log_bytes")},
        "outcome": one.outcome or "RUNNING",
        "reason": one.reason or None,
        "exit_code": one.exit_code if one.HasField("exit_code") else None,
        "signal": one.signal if one.HasField("signal") else None,
        "started_at": show.instant(one.started_unix_us),
        "ended_at": show.instant(one.ended_unix_us),
    }


def summary(payload: dict[str, Any]) -> str:
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


def took(one: Any) -> str:
    """Of the last attempt; what runs still has no end."""
    if one.started_unix_us and one.completed_unix_us:
        return show.duration((one.completed_unix_us - one.started_unix_us) / 1e6)
    return ""


TIMES = ("created", "updated", "run_at", "started", "completed")


def as_dict(one: Any) -> dict[str, Any]:
    plain = (
        "job_id",
        "name",
        "state",
        "reason",
        "message",
        "attempts",
        "priority",
        "correlation_id",
        "actor",
        "worker_id",
        "peak_memory_bytes",
        "cpu_s",
        "log_bytes",
        "log_dropped_bytes",
        "logs_complete",
        "cancel_requested",
        "cancel",
        "waiting_for",
        "leftover_processes",
        "leftover_unknown",
        "retry_of",
    )
    return {
        **{key: getattr(one, key) for key in plain},
        "exit_code": one.exit_code if one.HasField("exit_code") else None,
        "signal": one.signal if one.HasField("signal") else None,
        **{
            f"{key}_at".replace("run_at_at", "run_at"): show.instant(getattr(one, f"{key}_unix_us"))
            for key in TIMES
        },
        **({"spec": json.loads(one.spec)} if one.spec else {}),  # lists carry none
    }


def _log(one: Any, *, ended: bool) -> str:
    if not one.attempts:
        return ""
    words = show.size(one.log_bytes)
    if one.log_dropped_bytes:
        words += f", {one.log_dropped_bytes} B left out"
    return words if one.logs_complete or not ended else f"{words}, incomplete"


def _left_over(one: Any) -> str:
    killed, unknown = one.leftover_processes, one.leftover_unknown
    words = [
        f"{killed} processes, killed" if killed else "",
        f"{unknown} that may be another job's, alive" if unknown else "",
    ]
    return "; ".join(filter(None, words))


def show_job(one: Any, output: str) -> None:
    if output == "json":
        show.as_json(as_dict(one))
        return
    ended = one.state in ("SUCCEEDED", "FAILED", "CANCELLED")
    command = json.loads(one.spec)["command"] if one.spec else ""
    show.fields(
        [
            ("id", one.job_id),
            ("name", one.name),
            ("state", one.state),
            ("waits for", one.waiting_for),
            ("reason", one.reason),
            ("message", one.message),
            ("exit code", str(one.exit_code) if one.HasField("exit_code") else ""),
            ("signal", str(one.signal) if one.HasField("signal") else ""),
            ("cancel", one.cancel),
            ("command", command if isinstance(command, str) else " ".join(command)),
            ("attempts", str(one.attempts)),
            ("priority", str(one.priority)),
            ("correlation id", one.correlation_id),
            ("actor", one.actor),
            ("repeats", one.retry_of),
            ("worker", one.worker_id),
            ("created", show.instant(one.created_unix_us) or ""),
            ("not before", show.instant(one.run_at_unix_us) or ""),
            ("started", show.instant(one.started_unix_us) or ""),
            ("completed", show.instant(one.completed_unix_us) or ""),
            ("took", took(one)),
            ("memory", show.size(one.peak_memory_bytes) if one.peak_memory_bytes else ""),
            ("CPU time", show.duration(one.cpu_s) if one.cpu_s else ""),
            ("log", _log(one, ended=ended)),
            ("left over", _left_over(one)),
        ]
    )
