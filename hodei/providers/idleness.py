"""How long workers have been idle, from what is seen of them at each
reconciliation.

The database knows when a worker last changed its state. Between two changes a worker with several
slots may run short jobs without a pause: whoever sees it busy remembers that. A server that begins
to look after a provider has not seen it, and may drain such a worker too early: no job is lost by
that."""

import time
import uuid
from collections.abc import Mapping

from hodei.providers.plan import Known
from hodei.store.provider_configs import WorkerOnDemand


class Idleness:
    """When this server last saw each worker of one provider busy."""

    def __init__(self) -> None:
        self._busy_at: dict[uuid.UUID, float] = {}

    def of(self, seen: Mapping[uuid.UUID, WorkerOnDemand]) -> dict[uuid.UUID, Known]:
        """Returns what is known of these workers; of others nothing is remembered."""
        now = time.monotonic()
        busy = {one.worker_id: now for one in seen.values() if one.busy}
        self._busy_at = {
            worker: at for worker, at in (self._busy_at | busy).items() if worker in seen
        }
        return {worker: self._known(one, now) for worker, one in seen.items()}

    def _known(self, one: WorkerOnDemand, now: float) -> Known:
        busy_ago_s = now - self._busy_at.get(one.worker_id, float("-inf"))
        return Known(
            state=one.state,
            revoked=one.revoked,
            has_heartbeat=one.has_heartbeat,
            draining=one.draining,
            drained_by=one.drained_by,
            drained_for_s=one.drained_for_s,
            slots=one.slots,
            busy=one.busy,
            idle_s=min(one.quiet_s, busy_ago_s),
            came_up_s=one.came_up_s,
        )
