"""Events of a job in words."""

import json
from typing import Any

from hodei.cli import show
from hodei.shapes.job import Event

WORDS = {
    "reason": "{}",
    "exit_code": "exit code {}",
    "signal": "signal {}",
    "attempt": "attempt {}",
    "worker_id": "on {}",
    "failures": "{} failed so far",
    "losses": "{} lost so far",
    "not_before": "not before {}",
    "on_behalf_of": "for {}",
    "lease": "lease {}",
}
"""How the values of a payload are said, in this order. A 0 is said of an exit code alone."""


def what(event: Event) -> str:
    """What an event says beside its type and the new state, in a few words, and which person did it."""
    payload = json.loads(event.payload)
    if not isinstance(payload, dict):  # a hand has set it
        return ""
    words = summary(payload, event.worker_name or "")
    is_person = not event.actor.startswith(("worker:", "system:"))
    return ", ".join(filter(None, [words, f"by {event.actor}" if is_person else ""]))


def summary(payload: dict[str, Any], worker_name: str = "") -> str:
    """A payload in a few words, with the name of the worker in place of its id."""
    said = {
        key: value
        for key in WORDS
        if (value := payload.get(key)) or (key == "exit_code" and value == 0)
    }
    if "worker_id" in said:
        said["worker_id"] = worker_name or show.short_id(str(said["worker_id"]))
    if "not_before" in said:
        said["not_before"] = show.clock_of(str(said["not_before"]))
    words = [WORDS[key].format(value) for key, value in said.items()]
    return ", ".join(words)


def new_state(event: Event) -> str:
    """The state that the job has from this event on; empty where the event changes no state."""
    payload = json.loads(event.payload)
    return str(payload.get("new_state") or "") if isinstance(payload, dict) else ""


def actor(event: Event) -> str:
    """Who did it; a worker by its name."""
    if event.worker_name and event.actor == f"worker:{event.worker_id}":
        return f"worker {event.worker_name}"
    return event.actor
