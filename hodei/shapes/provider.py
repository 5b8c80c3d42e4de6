"""Providers of workers on demand, as they are shown."""

from dataclasses import dataclass, field
from typing import Annotated

from hodei.shapes.fields import Time


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A provider: what makes workers while jobs wait for them."""

    provider_id: Annotated[str, "Its UUID."]
    name: Annotated[str, "Its name."]
    provider_type: Annotated[str, "Docker, in any case."]
    status: Annotated[
        str, "ACTIVE, PAUSED or DEGRADED; servers leave a row with any other word alone."
    ]
    status_reason: Annotated[str | None, "Why it makes no workers now; null: it would."] = None
    priority: Annotated[int, "Of two that could serve a job the higher one does."] = 0
    max_workers: Annotated[int, "How many workers it may have."] = 0
    workers: Annotated[int, "Workers that it had when a server looked last."] = 0
    starting: Annotated[int, "Those of them that were not connected yet."] = 0
    busy: Annotated[int, "Those of them that had a job."] = 0
    demand: Annotated[
        int,
        "Ready jobs that only new workers could take, at that time; counted up to one more than the"
        " slots of all workers that it may have.",
    ] = 0
    engine_id: Annotated[
        str | None, "The id of its engine; null: no server has reached it yet."
    ] = None
    server_id: Annotated[str | None, "The server that looks after it; null: none does."] = None
    failures: Annotated[int, "Workers that did not come up, one after the other."] = 0
    failed_at: Annotated[Time | None, "When the last of them failed."] = None
    created_at: Annotated[Time | None, "When its row was made."] = None
    wrong: Annotated[
        str | None, "What is wrong with its row; then the keys that follow have no value."
    ] = None
    engine: Annotated[str | None, "Where its engine is: the path of a socket, or an address."] = (
        None
    )
    image: Annotated[str | None, "The image of its workers."] = None
    network: Annotated[str | None, "The network of its workers."] = None
    slots: Annotated[int, "How many jobs one of its workers runs at a time."] = 0
    labels: Annotated[dict[str, str], "The labels of its workers."] = field(default_factory=dict)
    server_address: Annotated[
        str | None, "Where its workers connect to; null: to what servers advertise."
    ] = None
    warm_slots: Annotated[int, "Slots that are kept free while nothing waits."] = 0
    idle_time_s: Annotated[float, "How long a worker is idle before it is drained."] = 0.0
    boot_timeout_s: Annotated[float, "How long a worker may take until it is connected."] = 0.0
    ephemeral: Annotated[bool, "Whether each worker runs one job and ends."] = False
    docker_socket: Annotated[bool, "Whether workers get the engine's socket."] = False
    job_user: Annotated[str | None, "The user that jobs run as."] = None
