"""Workers, tokens and the state of the whole system, as they are shown."""

from dataclasses import dataclass, field
from typing import Annotated

from hodei.shapes.fields import Time


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """A worker."""

    worker_id: Annotated[str, "Its UUID."]
    name: Annotated[str, "Its name, for people."]
    state: Annotated[str, "REGISTERING, READY, BUSY, DRAINING, UNREACHABLE or TERMINATED."]
    slots: Annotated[int, "How many jobs it runs at a time."] = 0
    busy_slots: Annotated[int, "Slots that were in use at its last heartbeat."] = 0
    labels: Annotated[dict[str, str], "What jobs may require of it."] = field(default_factory=dict)
    version: Annotated[str, "Its release."] = ""
    current_job_id: Annotated[str | None, "A job that ran there at its last heartbeat."] = None
    heartbeat_age_s: Annotated[
        float | None, "Time since its last heartbeat; null: none came yet."
    ] = None
    registered_at: Annotated[Time | None, "When its token was redeemed."] = None
    revoked: Annotated[bool, "Whether its credential was revoked."] = False
    job_user: Annotated[
        str | None, "The user that its jobs run as; null: it does not report that."
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A one-time bootstrap token."""

    token: Annotated[str | None, "The token itself: only in the answer to its creation."] = None
    token_id: Annotated[str, "Its fingerprint, by which it is named everywhere else."]
    state: Annotated[str, "USABLE, CONSUMED, EXPIRED or REVOKED."]
    worker_id: Annotated[str | None, "The worker that may redeem it; null: any."] = None
    created_at: Annotated[Time | None, "When it was made."] = None
    expires_at: Annotated[Time | None, "It cannot be redeemed from then on."] = None
    consumed_at: Annotated[Time | None, "When it was redeemed."] = None
    consumed_by: Annotated[str | None, "The worker that redeemed it."] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The state of the whole system."""

    jobs: Annotated[dict[str, int], "Jobs by state; final ones are counted up to 1,000,000."]
    workers: Annotated[dict[str, int], "Workers by state."]
    queued: Annotated[int, "Jobs in the queue."]
    queued_ready: Annotated[int, "Those of them that could run now."]
    oldest_ready_s: Annotated[float | None, "How long the oldest of these has waited."] = None
    slots: Annotated[int, "Slots of connected workers."]
    slots_busy: Annotated[int, "Slots that are in use."]
    tokens_usable: Annotated[int, "Tokens that can be redeemed."]
    servers: Annotated[int, "Servers that listen to the database."]
    version: Annotated[str, "The release of the server that answered."]
    schema_version: Annotated[int, "The version of the database's schema."]
    database: Annotated[str, "PostgreSQL's version."]
    root_workers: Annotated[int, "Workers whose jobs run as root."] = 0
    root_worker_names: Annotated[list[str], "Names of the first ten of them."] = field(
        default_factory=list
    )


@dataclass(slots=True, kw_only=True)
class Maintenance:
    """What a run of the maintenance did. It creates the partitions of the next days and deletes old
    rows and partitions."""

    days_made: Annotated[int, "Partitions created."] = 0
    stray_events: Annotated[int, "Events in the default partition: their day had no partition."] = 0
    stray_chunks: Annotated[int, "Log chunks in the default partition."] = 0
    jobs_deleted: Annotated[int, "Final jobs deleted."] = 0
    workers_deleted: Annotated[int, "Terminated workers deleted."] = 0
    tokens_deleted: Annotated[int, "Dead tokens deleted."] = 0
    days_dropped: Annotated[list[str], "Partitions dropped, by name."] = field(default_factory=list)
    days_held: Annotated[
        dict[str, str], "Partitions that stay, and for each a job that has events or logs in it."
    ] = field(default_factory=dict)
    days_busy: Annotated[
        list[str], "Partitions that stay for now: another transaction has locked them."
    ] = field(default_factory=list)
    refused: Annotated[list[str], "What this role may not do, in words."] = field(
        default_factory=list
    )
