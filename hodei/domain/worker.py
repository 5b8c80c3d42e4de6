"""A worker's states. schema.sql has their transitions beside its CHECK."""

from enum import StrEnum


class WorkerState(StrEnum):
    REGISTERING = "REGISTERING"  # its token is redeemed, and it has opened no stream yet
    READY = "READY"  # connected, a slot is free
    BUSY = "BUSY"  # connected, all slots were taken at the last heartbeat
    DRAINING = "DRAINING"  # gets no new jobs
    UNREACHABLE = "UNREACHABLE"  # silent for UNREACHABLE_AFTER_S; its jobs stay RUNNING
    TERMINATED = "TERMINATED"  # lost, stopped or revoked


CONNECTED = frozenset({WorkerState.READY, WorkerState.BUSY, WorkerState.DRAINING})
