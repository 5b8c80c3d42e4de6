"""The contract between the supervisor and whatever runs jobs, such as processes (processes.py).

One attempt, in order:

    executor.attempt(start, job_spool, listener)
    begin()     prepares and starts it. An attempt that cannot start ends with START_FAILED
                  → listener.on_started()      once, when it runs
                  → listener.on_chunk(chunk)   for each chunk of its output, after its spool has
                    stored it. While the spool is full, no output is read and the job waits; the
                    supervisor calls resume() when there is room
    stop()      asks it to end, and ends it by force after the grace
                  → listener.on_stopping()     once, unless it has ended or has not started
                  → listener.on_ended(result)  exactly once in any case; no callback comes after it

No method waits; all are called on the supervisor's loop. An error in the work for one attempt ends
that attempt by force, with INTERNAL, and no other attempt.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

from hodei_worker.supervisor.result import Cause, Result
from hodei_worker.supervisor.secrets import Values
from hodei_worker.supervisor.spool import Chunk, JobSpool
from hodei_worker.supervisor.wire import Leftover


class Start(NamedTuple):
    """The data with which an attempt begins."""

    lease: int
    job_id: str
    attempt: int
    correlation_id: str
    actor: str
    started_us: int  # µs since 1970
    # docs/job-spec.md; of an attempt from the journal only its limits; empty after the end
    spec: dict[str, Any]
    cluster: str = ""  # id of the database that the lease is of; empty: its server did not say
    secrets: Values = (
        Values()
    )  # that the spec names; of an attempt from the journal they come later

    @classmethod
    def from_entry(cls, entry: Mapping[str, Any], secrets: Values | None = None) -> "Start":
        """Reads an entry of the journal, which may lack keys, or a start header with `started_us`,
        which has no spec."""
        return cls(
            lease=entry["lease"],
            job_id=entry.get("job_id") or "",
            attempt=entry.get("attempt") or 0,
            correlation_id=entry.get("correlation_id") or "",
            actor=entry.get("actor") or "",
            started_us=entry.get("started_us") or 1,
            spec=entry.get("limits") or {},
            cluster=entry.get("cluster") or "",
            secrets=Values() if secrets is None else secrets,
        )


class Listener(NamedTuple):
    """The callbacks of one attempt."""

    on_chunk: Callable[[Chunk], None]
    on_started: Callable[[], None]
    on_stopping: Callable[[], object]
    on_ended: Callable[[Result], None]
    on_processes: Callable[[dict[int, int]], None]
    """Gets the processes that a later supervisor could not find otherwise: process id → when it
    started (the kernel's clock ticks). The journal keeps them."""


class Attempt(Protocol):
    def begin(self) -> None:
        """Called once."""

    def stop(self, cause: Cause, grace_s: float | None = None) -> None:
        """May be called at any time. Only the first cause counts, and it has no effect after the
        attempt has ended by itself. An attempt that has not begun is not started. `grace_s`:
        seconds between the request and force; None: as the spec says; 0: by force at once."""

    def give_secrets(self, values: Values) -> None:
        """Called with the values of its secrets, for an attempt that goes on without them: it reads
        no output before. Others ignore it."""

    def resume(self) -> None:
        """Called when chunks were acknowledged. Output is read again if its spool has room."""

    def fail(self, error: Exception) -> None:
        """Ends the attempt by force. Its result is INTERNAL and shows the error."""

    def check(self) -> None:
        """Called twice a second, for changes that nothing reports."""


class Executor(Protocol):
    @property
    def capabilities(self) -> list[str]:
        """What it can run now, in words of Hello.capabilities; read twice a second."""

    @property
    def leftovers(self) -> list[Leftover]:
        """What other workers have left here, if anything; read twice a second."""

    def journal_marks(self, start: Start) -> dict[str, Any]:
        """Returns what the journal keeps of an attempt besides its names: `cgroup`, `cluster` or
        `limits`, the keys of the spec that go_on needs. A later supervisor finds the
        attempt by them."""

    def adopt(self, entry: dict[str, Any]) -> Cause | None:
        """Called for each journal entry of an earlier supervisor's attempt that has no result,
        before any attempt begins. Ends what is left of the attempt and returns what has become of
        it. None: it may still run, and `go_on` follows."""

    def open(self, group: asyncio.TaskGroup, warn: Callable[[str], None]) -> None:
        """Called once, before the first attempt. `warn` gets a text for the person who looks after
        this host; it may be called in another thread."""

    def attempt(self, start: Start, job_spool: JobSpool, listener: Listener) -> Attempt: ...

    def go_on(self, start: Start, job_spool: JobSpool, listener: Listener) -> Attempt:
        """Continues an attempt for which `adopt` returned None. It has begun: the callbacks follow
        as after `begin`, on_started too."""

    def check(self) -> None:
        """Called twice a second."""

    def purge(self, job_id: str, lease: int) -> None:
        """Ends what an attempt has left of which no journal knows; of one of `leftovers` too."""

    def close(self) -> None:
        """Called when no attempt is left, or when all are left to the next supervisor."""

    def remove(self) -> None:
        """Called at the supervisor's end in any case, the last of all."""
