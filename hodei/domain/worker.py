"""A worker's states. schema.sql has their transitions beside its CHECK."""

from collections.abc import Mapping
from enum import StrEnum

from hodei.domain.spec_keys import CONTAINERS_ONLY, EXECUTOR


class WorkerState(StrEnum):
    REGISTERING = "REGISTERING"  # its token is redeemed, and it has opened no stream yet
    READY = "READY"  # connected, a slot is free
    BUSY = "BUSY"  # connected, all slots were taken at the last heartbeat
    DRAINING = "DRAINING"  # gets no new jobs
    UNREACHABLE = "UNREACHABLE"  # silent for UNREACHABLE_AFTER_S; its jobs stay RUNNING
    TERMINATED = "TERMINATED"  # lost, stopped or revoked


CONNECTED = frozenset({WorkerState.READY, WorkerState.BUSY, WorkerState.DRAINING})


def can_take(offered: Mapping[str, str], required: Mapping[str, str]) -> bool:
    """Returns whether a worker with the labels `offered` may get a job that requires these. The
    statements that ask the same are in claims.py, waits.py and queue_view.py."""
    if CONTAINERS_ONLY in offered and EXECUTOR not in required:
        return False
    return required.items() <= offered.items()
