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
    current_job_name: Annotated[str | None, "The name of that job."] = None
    heartbeat_age_s: Annotated[
        float | None, "Time since its last heartbeat; null: none came yet."
    ] = None
    registered_at: Annotated[Time | None, "When its token was redeemed."] = None
    revoked: Annotated[bool, "Whether its credential was revoked."] = False
    job_user: Annotated[
        str | None,
        "The user that its jobs run as; null: it runs containers only, or does not report that.",
    ] = None
    connected_at: Annotated[Time | None, "When it opened its last stream to a server."] = None
    last_heartbeat_at: Annotated[Time | None, "When its last heartbeat came."] = None
    server_id: Annotated[str | None, "The server that has, or last had, its stream."] = None
    draining: Annotated[bool, "Whether an operator asked that it gets no new jobs."] = False
    drained_at: Annotated[Time | None, "When that was asked for."] = None
    drained_by: Annotated[str | None, "Who asked for it."] = None
    capabilities: Annotated[list[str], "What it can do, in its own words."] = field(
        default_factory=list
    )
    host: Annotated[
        str | None,
        "Name of its host. This and the following keys are null if it does not report them.",
    ] = None
    system: Annotated[str | None, "Kernel and architecture of its host."] = None
    python: Annotated[str | None, "Version of the Python that it runs on."] = None
    cpus: Annotated[int | None, "CPUs that it may use."] = None
    memory_bytes: Annotated[int | None, "Memory of its host."] = None
    log_limit_bytes: Annotated[
        int | None, "What it keeps of each attempt's log (--log-limit); 0: everything."
    ] = None
    on_worker_exit: Annotated[
        str | None, "keep or kill: what becomes of running jobs when it ends (--on-worker-exit)."
    ] = None
    on_disconnect: Annotated[
        str | None, "keep or stop: what becomes of them when it is lost (--on-disconnect)."
    ] = None
    drain_timeout_s: Annotated[
        float | None, "How long it waits for running jobs when it is stopped (--drain-timeout)."
    ] = None
    projects: Annotated[
        list[str], "The only projects whose jobs it takes (--project); empty: it takes any."
    ] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerJob:
    """A job that a worker has."""

    job_id: Annotated[str, "Its id."]
    name: Annotated[str, "Its name."]
    state: Annotated[str, "RUNNING, or PENDING: the worker has not accepted it yet."]
    since_at: Annotated[Time | None, "When the worker accepted it, or was offered it."] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Lacking:
    """Labels that ready jobs require and a worker does not have."""

    labels: Annotated[dict[str, str], "The labels."]
    jobs: Annotated[int, "How many of the first 1,000 ready jobs require them."]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerDetails(Worker):
    """A worker, with its jobs, and with what it lacks for the jobs that are ready."""

    jobs: Annotated[list[WorkerJob], "Jobs that it has, the first 200."] = field(
        default_factory=list
    )
    jobs_in_all: Annotated[int, "How many jobs it has, without `other_jobs`."] = 0
    other_jobs: Annotated[
        int, "How many jobs it has of projects that the caller's API key does not reach."
    ] = 0
    lacking: Annotated[
        list[Lacking], "What ready jobs require and it does not have; at most 20 entries."
    ] = field(default_factory=list)
    credential_since_at: Annotated[Time | None, "When its credential came into force."] = None
    credential_age_s: Annotated[float | None, "Time since then."] = None
    credential_renews_at: Annotated[
        Time | None,
        "When it is to be renewed (security.md); null: it is revoked. A worker of an older release"
        " keeps its credential.",
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
class Project:
    """A project: a boundary between the jobs of those who call servers (security.md)."""

    project: Annotated[str, "Its name."]
    keys: Annotated[int, "Usable API keys that are bound to it."] = 0
    roles: Annotated[
        list[str], "Roles of the database that may enqueue into it by SQL, the first 100."
    ] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A secret, without its value."""

    name: Annotated[str, "Its name."]
    project: Annotated[str, "The project whose jobs may name it."]
    version: Annotated[int, "How often it was set."]
    key_id: Annotated[str, "The id of the key that it is encrypted with."]
    created_at: Annotated[Time | None, "When this version was set."] = None
    created_by: Annotated[str, "Who set it."] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """Secrets that were encrypted anew."""

    rotated: Annotated[int, "Versions that were encrypted anew."]
    key_id: Annotated[str, "The id of the key that all are encrypted with now."]


@dataclass(frozen=True, slots=True, kw_only=True)
class Unservable:
    """Ready jobs that require the same labels, and that no connected worker can take."""

    labels: Annotated[dict[str, str], "The labels that they require."]
    jobs: Annotated[int, "How many jobs."]
    oldest_s: Annotated[float | None, "How long the oldest of them has waited."] = None
    draining: Annotated[bool, "Whether workers that are draining have these labels."] = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ListeningServer:
    """A server of this database. Keys are null that a server of an older release does not report."""

    server_id: Annotated[str | None, "The UUID of its process."] = None
    address: Annotated[str | None, "The addresses on which it listens (--grpc)."] = None
    host: Annotated[str | None, "Name of its host."] = None
    version: Annotated[str | None, "Its release."] = None
    started_at: Annotated[Time | None, "When it started."] = None
    lost_after_s: Annotated[float | None, "Its --lost-after."] = None
    workers: Annotated[int, "Workers that are connected to it."] = 0
    certificate_expires_at: Annotated[
        Time | None, "When the certificate expires that it serves now; null: plain text."
    ] = None
    anonymous_role: Annotated[
        str | None, "The role of calls without an API key (--anonymous-role); null: none."
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """The state of the whole system."""

    jobs: Annotated[
        dict[str, int],
        "Jobs by state, each with its number; final ones are counted up to 1,000,000.",
    ]
    workers: Annotated[dict[str, int], "Workers by state, each with its number."]
    queued: Annotated[int, "Jobs in the queue."]
    queued_ready: Annotated[int, "Those of them that could run now."]
    oldest_ready_s: Annotated[float | None, "How long the oldest of these has waited."] = None
    oldest_servable_s: Annotated[
        float | None,
        "How long the oldest examined job has waited that a connected worker can take.",
    ] = None
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
    waiting: Annotated[
        dict[str, int],
        "Queued jobs that are not ready, by the cause: RUN_AT (their time has not come), BACKOFF"
        " (they failed or were lost, and run again later).",
    ] = field(default_factory=dict)
    offered: Annotated[int, "Jobs that were sent to a worker and not accepted yet."] = 0
    unservable: Annotated[
        int,
        "Ready jobs that no connected worker can take: none has their labels, or those that have"
        " them are draining.",
    ] = 0
    ready_examined: Annotated[
        int, "How many ready jobs were examined for that: the first 100,000 at most."
    ] = 0
    unservable_sets: Annotated[
        list[Unservable], "Unservable jobs by the labels that they require, at most ten entries."
    ] = field(default_factory=list)
    listening: Annotated[list[ListeningServer], "The servers, at most 100."] = field(
        default_factory=list
    )
    lost_after_s: Annotated[
        float | None,
        "The smallest --lost-after of the servers: the jobs of a worker that is silent for so long"
        " are given away. null: the server that answered does not say.",
    ] = None
    schema_revision: Annotated[int | None, "The revision of this program's schema."] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaReport:
    """The state of the database's schema."""

    complete: Annotated[bool, "Whether the schema is complete and this role may work on it."]
    changed: Annotated[bool, "Whether this command changed the schema."] = False
    findings: Annotated[list[str], "What was found or done, a sentence each."] = field(
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Restoration:
    """What was made safe after the database was restored to an earlier time."""

    next_lease: Annotated[int, "The number of the next claim: no worker can hold it."]
    tokens_consumed: Annotated[int, "Tokens that nobody can redeem any more."] = 0
    providers_paused: Annotated[list[str], "Names of the providers that make no workers now."] = (
        field(default_factory=list)
    )
    servers: Annotated[
        int, "Servers that were running before this command: they may have given numbers twice."
    ] = 0
