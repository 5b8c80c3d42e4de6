"""A worker's states, and the times by which its silence is judged (rule 6)."""

from enum import StrEnum


class WorkerState(StrEnum):
    REGISTERING = "REGISTERING"  # token redeemed, no stream yet
    READY = "READY"  # connected, a slot free
    BUSY = "BUSY"  # connected, all slots taken at the last heartbeat
    DRAINING = "DRAINING"  # gets nothing new
    UNREACHABLE = "UNREACHABLE"  # silent for UNREACHABLE_AFTER_S; its jobs stay RUNNING
    TERMINATED = "TERMINATED"  # lost, stopped or revoked


HEARTBEAT_S = 10.0
"""Between two heartbeats of a worker, and between two beats of a server on each stream."""

UNREACHABLE_AFTER_S = 30.0
"""Three missed heartbeats. Counted by the database's clock, from the later of last contact and
`listening_since`."""

LOST_AFTER_S = 60.0
"""Silence after which a worker's jobs are given away. Told to workers when they connect."""

ACCEPT_WITHIN_S = 10.0
"""An offer that no slot took by then returns to the queue, unless the worker's inventory lists it
as waiting."""

LIMIT_MARGIN_S = 30.0
"""After a limit that the worker is to enforce (and the grace): then the servers' sweep does."""

NIL_ID = "00000000-0000-0000-0000-000000000000"
"""On a bootstrap token: any worker may redeem it."""
