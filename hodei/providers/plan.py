"""What to do about a provider's workers, from what is there and what waits. Pure: no clock, no I/O.

It is asked again and again, and remembers nothing: what one server has begun, another goes on with,
and what was done by hand is taken as it is."""

import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hodei.domain.provider import Settings
from hodei.domain.worker import CONNECTED, WorkerState
from hodei.providers.contract import Instance

ACTOR = "system:providers"
"""Who drains and revokes workers, in the audit. Only its own drains are taken back."""

DRAINED_FOR_S = 3.0
"""Seconds after a drain in which a server that has not heard of it may still send a job."""

MOST_MADE = 10
"""Workers that are made in one reconciliation."""

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 5.0, 600.0
"""Seconds without a new worker after one that did not come up, doubled each time."""

DEGRADED_AFTER = 3
"""Such workers, one after the other, that make a provider DEGRADED."""


@dataclass(frozen=True, slots=True)
class Known:
    """What servers know of a worker."""

    state: WorkerState
    revoked: bool = False
    has_heartbeat: bool = True  # a heartbeat of it has come
    draining: bool = False
    drained_by: str = ""
    drained_for_s: float | None = None
    slots: int = 1
    busy: int = 0
    idle_s: float = (
        0.0  # since its last job, or since it connected; of one that is lost, since then
    )
    came_up_s: float = 0.0  # when it registered, of the database's clock

    @property
    def takes_jobs(self) -> bool:
        return not self.draining and self.state != WorkerState.DRAINING

    @property
    def drained(self) -> bool:
        """Whether it has no job, and no server will send it one."""
        return self.draining and self.busy == 0 and (self.drained_for_s or 0.0) >= DRAINED_FOR_S


@dataclass(frozen=True, slots=True)
class View:
    """What there is at one moment."""

    settings: Settings
    now_s: float  # of the database's clock
    demand: int  # ready jobs that only new workers can take
    instances: Sequence[Instance]  # of this database, on this engine
    workers: Mapping[uuid.UUID, Known]
    providers: frozenset[uuid.UUID]  # that there are
    labels: Mapping[str, str] = field(default_factory=dict)  # that servers give to its workers
    paused: bool = False
    may_make: bool = True
    failures: int = 0
    failed_ago_s: float | None = None


@dataclass(frozen=True, slots=True)
class Removal:
    """An instance to remove, and why."""

    instance: Instance
    why: str
    failed: bool = False  # it did not come up
    counts: bool = False  # as a failure of the provider


@dataclass(slots=True)
class Plan:
    """What to do, in this order."""

    undrain: list[uuid.UUID] = field(default_factory=list)
    drain: list[uuid.UUID] = field(default_factory=list)
    remove: list[Removal] = field(default_factory=list)
    make: list[int] = field(default_factory=list)  # numbers
    recovered: bool = False  # a worker came up after the last failure
    there: int = 0  # instances of this provider
    starting: int = 0  # of these: not connected yet
    busy: int = 0  # of these: with a job


def backoff_s(failures: int) -> float:
    """Returns for how many seconds nothing is made after this number of failures."""
    if failures <= 0:
        return 0.0
    return min(FIRST_BACKOFF_S * 2.0 ** min(failures - 1, 20), LONGEST_BACKOFF_S)


def plan(view: View) -> Plan:
    """Returns what to do now."""
    found = Plan()
    mine = [one for one in view.instances if one.provider_id == view.settings.provider_id]
    without_provider = [one for one in view.instances if one.provider_id not in view.providers]
    live = {one: view.workers[one.worker_id] for one in mine if _is_live(one, view)}
    newest_live_s = max((one.made_s for one in live), default=float("-inf"))
    found.remove = [
        *(removal for one in mine if (removal := _end_of(one, view, newest_live_s))),
        *(removal for one in without_provider if (removal := _end_of(one, view, float("inf")))),
    ]
    gone = {removal.instance for removal in found.remove}
    starting = [one for one in mine if one not in gone and _is_starting(one, view)]
    found.there, found.starting = len(mine), len(starting)
    found.busy = sum(worker.busy > 0 for worker in live.values())
    found.recovered = _recovered(view, live)
    taking = {one: known for one, known in live.items() if known.takes_jobs and one not in gone}
    free = sum(max(worker.slots - worker.busy, 0) for worker in taking.values())
    wanted = 0 if view.paused else view.demand + view.settings.warm_slots
    short = wanted - free - len(starting) * view.settings.slots
    if short > 0:
        short -= _take_back(live, short, found)
        found.remove = [one for one in found.remove if one.instance.worker_id not in found.undrain]
        _make(view, mine, short, found)
    elif not view.demand:
        _drain_idle(view, taking, -short, found)
    _drain_others(view, taking, without_provider, found)
    return found


# ── what becomes of one instance ──


def _end_of(one: Instance, view: View, newest_live_s: float) -> Removal | None:
    """Whether an instance is to be removed, and why. One that did not come up counts unless another
    one that was made with it or later did: failures count one after the other."""
    worker = view.workers.get(one.worker_id)
    timeout_s = view.settings.boot_timeout_s
    if worker is None or not worker.has_heartbeat:
        late = view.now_s - one.made_s >= timeout_s
        words = "it has ended" if one.ended else f"it did not connect within {timeout_s:g} s"
        counts = one.made_s > newest_live_s
        return Removal(one, words, failed=True, counts=counts) if one.ended or late else None
    why = (
        "it has ended"
        if one.ended
        else "its worker's credential was revoked"
        if worker.revoked
        else "its worker is lost"
        if worker.state == WorkerState.TERMINATED and worker.idle_s > timeout_s
        else "its worker is drained"
        if worker.drained
        else ""
    )
    return Removal(one, why) if why else None


def _is_live(one: Instance, view: View) -> bool:
    worker = view.workers.get(one.worker_id)
    connected = worker is not None and worker.state in CONNECTED and not worker.revoked
    return connected and not one.ended


def _is_starting(one: Instance, view: View) -> bool:
    worker = view.workers.get(one.worker_id)
    return worker is None or not worker.has_heartbeat


def _recovered(view: View, live: Mapping[Instance, Known]) -> bool:
    if not view.failures:
        return False
    failed_at_s = view.now_s - (view.failed_ago_s or 0.0)
    return any(known.came_up_s > failed_at_s for known in live.values())


# ── more workers, or fewer ──


def _take_back(live: Mapping[Instance, Known], short: int, found: Plan) -> int:
    """Workers that we are draining get jobs again, before new ones are made. Returns their free
    slots."""
    got = 0
    for one, worker in live.items():
        if got < short and worker.draining and worker.drained_by == ACTOR:
            found.undrain.append(one.worker_id)
            got += max(worker.slots - worker.busy, 0)
    return got


def _make(view: View, mine: Sequence[Instance], short: int, found: Plan) -> None:
    waits = (view.failed_ago_s or 0.0) < backoff_s(view.failures)
    if short <= 0 or not view.may_make or (view.failures and waits and not found.recovered):
        return
    taken = {one.number for one in mine}  # of what is to be removed, too: its name is still there
    free = [n for n in range(1, view.settings.max_workers + 1) if n not in taken]
    most = 1 if view.failures and not found.recovered else MOST_MADE
    room = view.settings.max_workers - len(mine)
    needed = math.ceil(short / view.settings.slots)
    found.make = free[: max(min(needed, room, most), 0)]


def _drain_idle(view: View, taking: Mapping[Instance, Known], surplus: int, found: Plan) -> None:
    """Drains workers that have been idle for long, those that have longest first, as long as
    `surplus` free slots are too many."""
    idle = [
        (one, worker)
        for one, worker in taking.items()
        if worker.busy == 0 and worker.idle_s >= view.settings.idle_time_s
    ]
    for one, worker in sorted(idle, key=lambda pair: -pair[1].idle_s):
        if worker.slots <= surplus:
            surplus -= worker.slots
            found.drain.append(one.worker_id)


def _drain_others(
    view: View, taking: Mapping[Instance, Known], without_provider: Sequence[Instance], found: Plan
) -> None:
    """Drains workers beyond max_workers, and those of a provider that is gone."""
    beyond = [one for one in taking if one.number > view.settings.max_workers]
    left = [
        one
        for one in without_provider
        if _is_live(one, view) and not view.workers[one.worker_id].draining
    ]
    for one in [*beyond, *left]:
        if one.worker_id not in found.drain:
            found.drain.append(one.worker_id)
