"""A model of what a job costs, fitted to some of the points that bench.scaling measured and checked
against the others.

It is small on purpose. A job costs a server, a worker and PostgreSQL each

    fixed + per batch / jobs of a batch + per frame × frames of a job

(µs of processor; PostgreSQL sees no frames)

and on a machine that all share a job takes  (all three) / cores + wait / servers:  work spreads
over cores; what one server cannot do at the same time as anything else is shared out by more
servers only. On machines of their own the least of several walls decides."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.report.least_squares import least_squares
from hodei.flow import dispatch

ROUND_S = dispatch.MOST_REST_S
"""Of a busy server, in which a batch gathers; another length would only scale what is fitted to
it."""

CLAIM_AT_MOST = dispatch.CLAIM_AT_MOST

FITTED = {
    "servers": {1, 4},
    "workers": {1, 10, 300},
    "depths": {10_000, 100_000},
    "slots": {1, 4, 16, 64},
}
"""The other points are held out: the model has not seen them."""


@dataclass(frozen=True)
class Point:
    """One that was measured."""

    curve: str
    x: int
    servers: int
    workers: int
    per_s: float
    all: list[float]
    cpu_us: dict[str, float]

    @property
    def fitted(self) -> bool:
        return self.x in FITTED[self.curve]

    @property
    def batch(self) -> float:
        return batch_of(self.per_s, self.servers)

    @property
    def frames(self) -> float:
        return frames_of(self.servers, self.workers)


@dataclass(frozen=True)
class Cost:
    """µs of processor for each job."""

    fixed: float
    per_batch: float
    per_frame: float = 0.0

    def us(self, batch: float, frames: float) -> float:
        return self.fixed + self.per_batch / batch + self.per_frame * frames


@dataclass(frozen=True)
class Model:
    cores: int
    server: Cost
    worker: Cost
    postgres: Cost
    wait_us: float
    slots_us: (
        tuple[float, float] | None
    )  # time of a job of `sh -c true`: the first, and the second shared out by the slots

    def per_s(self, servers: int, workers: int) -> float:
        """On the machine that was measured. Batches depend on the rate, and the rate on batches:
        what agrees with itself."""
        servers, rate = min(servers, workers), 10_000.0
        for _ in range(50):
            batch, frames = batch_of(rate, servers), frames_of(servers, workers)
            processor = sum(
                cost.us(batch, frames) for cost in (self.server, self.worker, self.postgres)
            )
            rate = (rate + 1e6 / (processor / self.cores + self.wait_us / servers)) / 2
        return rate

    def slots_per_s(self, slots: int) -> float:
        if self.slots_us is None:
            return math.nan
        return 1e6 / (self.slots_us[0] + self.slots_us[1] / slots)

    def predicted(self, point: Point) -> float:
        return (
            self.slots_per_s(point.x)
            if point.curve == "slots"
            else self.per_s(point.servers, point.workers)
        )

    def error(self, point: Point) -> float:
        """Percent: above zero where it says more than was measured."""
        return (self.predicted(point) / point.per_s - 1) * 100


def batch_of(per_s: float, servers: int) -> float:
    """Jobs that one server gathers in a round."""
    return max(1.0, per_s * ROUND_S / servers)


def frames_of(servers: int, workers: int) -> float:
    """Frames for each job: a claim's jobs fall on a server's workers as they come, and those on one
    worker share a frame."""
    own = max(1.0, workers / servers)
    return own * (1 - (1 - 1 / own) ** CLAIM_AT_MOST) / CLAIM_AT_MOST


# ── fitting ──


def points(scaling: dict[str, Any]) -> list[Point]:
    place: dict[str, Callable[[int], tuple[int, int]]] = {
        "servers": lambda x: (x, 2 * x),
        "workers": lambda x: (min(2, x), x),
        "depths": lambda _: (2, 2),
        "slots": lambda _: (1, 1),
    }
    return [
        Point(
            curve,
            int(x),
            *where(int(x)),
            point["jobs_per_s"],
            point["all"],
            point["cpu_us_per_job"],
        )
        for curve, where in place.items()
        for x, point in scaling.get(curve, {}).items()
    ]


def fit(scaling: dict[str, Any]) -> Model | None:
    """None where too little was measured."""
    cores = int(scaling.get("cores", 0))
    chosen = [point for point in points(scaling) if point.fitted]
    noop = [point for point in chosen if point.curve != "slots"]
    if not cores or len(noop) < 4 or len({point.workers for point in noop}) < 3:
        return None
    rows = [[1.0, 1 / point.batch, point.frames] for point in noop]
    server = Cost(*least_squares(rows, [point.cpu_us["server"] for point in noop]))
    worker = Cost(*least_squares(rows, [point.cpu_us["worker"] for point in noop]))
    postgres = Cost(
        *least_squares([row[:2] for row in rows], [point.cpu_us["postgres"] for point in noop])
    )
    return Model(
        cores,
        server,
        worker,
        postgres,
        _wait_us(noop, cores, (server, worker, postgres)),
        _slots_us(chosen),
    )


def _wait_us(noop: list[Point], cores: int, costs: Sequence[Cost]) -> float:
    """The mean of what is left of a job's time, weighed as time: what the processor does not
    explain."""
    left = [
        1e6 / point.per_s - sum(cost.us(point.batch, point.frames) for cost in costs) / cores
        for point in noop
    ]
    weights = [(point.per_s / 1e6) ** 2 / point.servers for point in noop]
    shares = sum(weight / point.servers for weight, point in zip(weights, noop, strict=True))
    return max(0.0, sum(weight * us for weight, us in zip(weights, left, strict=True)) / shares)


def _slots_us(chosen: list[Point]) -> tuple[float, float] | None:
    slots = [point for point in chosen if point.curve == "slots"]
    if len(slots) < 2:
        return None
    fixed, shared = least_squares(
        [[1.0, 1 / point.x] for point in slots], [1e6 / point.per_s for point in slots]
    )
    return fixed, shared
