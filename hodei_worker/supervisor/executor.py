"""What a thing that runs jobs promises the supervisor. Processes on this host do (processes.py).

One attempt, in order:

    executor.attempt(start, tape, listener)
    begin()     prepares and starts it; what cannot be started ends, with START_FAILED
                  → listener.on_started()     once, when its process runs
    …             → listener.on_chunk(chunk)  for each chunk of its output that the tape has taken. While
                    the tape is full nothing is read, and the job waits; resume() when there is room
    stop()      asks it to end, and ends it by force after the grace
                  → listener.on_stopping()    once, unless it has ended by then
                  → listener.on_ended(result) exactly once, whatever happens; nothing is told after it

Nothing of this waits: all is called on the supervisor's loop. An error in what is done for one
attempt ends that attempt (INTERNAL, by force), and no other.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from hodei_worker.supervisor.result import Cause, Result
from hodei_worker.supervisor.spool import Chunk, Tape


@dataclass(frozen=True)
class Start:
    """What is known of an attempt from its beginning."""

    lease: int
    job_id: str
    attempt: int
    correlation_id: str
    actor: str
    started_us: int  # µs since 1970
    spec: dict[str, Any]  # as docs/job-spec.md has it; empty of one found in the journal

    @classmethod
    def from_entry(cls, entry: dict[str, Any]) -> "Start":
        """Without the spec; from a journal, where a line before it may be lost."""
        return cls(
            lease=entry["lease"],
            job_id=entry.get("job_id") or "",
            attempt=entry.get("attempt") or 0,
            correlation_id=entry.get("correlation_id") or "",
            actor=entry.get("actor") or "",
            started_us=entry.get("started_us") or 1,
            spec={},
        )

    def entry(self) -> dict[str, Any]:
        """All but the spec, as the journal and the agent have it."""
        told = dict(vars(self))
        del told["spec"]
        return told


@dataclass(frozen=True)
class Listener:
    """Who hears of an attempt's life."""

    on_chunk: Callable[[Chunk], None]
    on_started: Callable[[], None]
    on_stopping: Callable[[], object]
    on_ended: Callable[[Result], None]
    on_processes: Callable[[dict[int, int]], None]
    """Process id → when it started (clock ticks), of what a later supervisor could not find
    otherwise: it stands in the journal."""


class Attempt(Protocol):
    def begin(self) -> None:
        """Once."""

    def stop(self, cause: Cause, grace_s: float | None = None) -> None:
        """At any time. Of several causes the first stays; an end of its own that came before wins;
        before its start, it is not started. grace_s: between the request and force; None: what its
        spec says, 0: by force at once."""

    def resume(self) -> None:
        """Chunks were acknowledged: reads on if its tape has room."""

    def fail(self, error: Exception) -> None:
        """Ends it by force, as INTERNAL with these words."""

    def check(self) -> None:
        """Twice a second, for what is only seen by looking."""


class Executor(Protocol):
    @property
    def journal_marks(self) -> dict[str, str]:
        """What the journal keeps of each attempt, by which a later supervisor finds it."""

    def adopt(self, entry: dict[str, Any]) -> Cause:
        """Before `open`. Of an attempt that a supervisor before us began, by its entry in the
        journal: ends what is left of it, and tells what became of it."""

    def attempt(self, start: Start, tape: Tape, listener: Listener) -> Attempt: ...

    def check(self) -> None:
        """Twice a second."""

    def close(self) -> None:
        """When no attempt is left."""
