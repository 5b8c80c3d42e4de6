"""What servers write into the column `seen` of a provider's row: what there was when one of them
looked last, for the other servers and for callers."""

from collections.abc import Mapping
from typing import Any, NamedTuple

MOST = (1 << 31) - 1


class Seen(NamedTuple):
    """The instances of a provider and what waits for them, at one moment."""

    labels: Mapping[str, str] | None = None  # of its workers; None: nobody has looked yet
    room: int = 0  # workers that it may still make
    workers: int = 0
    starting: int = 0  # workers that are not connected yet
    busy: int = 0  # workers with a job
    demand: int = 0  # ready jobs that only new workers could take
    failure: str = ""  # of the last worker that did not come up; empty: it came up

    def as_json(self) -> dict[str, Any]:
        """An object with the fields that say something; `read` reads it."""
        return {key: value for key, value in self._asdict().items() if value not in (None, "")}


def read(value: Any) -> Seen:
    """Reads a value of JSON. A hand may have written it: what is no field, or none of its type and
    range, is left out."""
    if not isinstance(value, dict):
        return Seen()
    labels, failure = value.get("labels"), value.get("failure")
    return Seen(
        labels=_labels(labels) if isinstance(labels, dict) else None,
        room=_number(value.get("room")),
        workers=_number(value.get("workers")),
        starting=_number(value.get("starting")),
        busy=_number(value.get("busy")),
        demand=_number(value.get("demand")),
        failure=failure if isinstance(failure, str) else "",
    )


def _labels(given: dict[Any, Any]) -> dict[str, str] | None:
    return given if all(isinstance(value, str) for value in given.values()) else None


def _number(value: Any) -> int:
    """From 0 to MOST; 0 for anything else."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return value if whole and 0 <= value <= MOST else 0
