"""Hodei for Python programs (docs/client.md): Hodei and AsyncHodei ask servers, enqueue creates jobs
in a transaction of the program's own."""

from hodei.client.asynchronous import AsyncHodei
from hodei.client.blocking import Hodei
from hodei.client.enqueue import enqueue, enqueue_async, enqueue_many, enqueue_many_async
from hodei.client.errors import (
    Aborted,
    Closed,
    Conflict,
    Duplicate,
    Exhausted,
    Forbidden,
    HodeiError,
    Invalid,
    NotFound,
    ServerFault,
    TimedOut,
    Unauthenticated,
    Unavailable,
    Unsupported,
)
from hodei.client.filters import Filter
from hodei.client.reading import JobId, LogChunk
from hodei.client.records import Attempt, Event, Job
from hodei.client.specs import Spec, new_id
from hodei.tls.caller import Tls

__all__ = [
    "Aborted",
    "AsyncHodei",
    "Attempt",
    "Closed",
    "Conflict",
    "Duplicate",
    "Event",
    "Exhausted",
    "Filter",
    "Forbidden",
    "Hodei",
    "HodeiError",
    "Invalid",
    "Job",
    "JobId",
    "LogChunk",
    "NotFound",
    "ServerFault",
    "Spec",
    "TimedOut",
    "Tls",
    "Unauthenticated",
    "Unavailable",
    "Unsupported",
    "enqueue",
    "enqueue_async",
    "enqueue_many",
    "enqueue_many_async",
    "new_id",
]
