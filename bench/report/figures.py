"""Ways to the figures of docs/figures.json, section by section.

A figure that is not there is None, and so is all that needs it."""

from collections.abc import Callable
from functools import reduce
from typing import Any

Figures = dict[str, Any]
How = Callable[[Figures], float | None]
"""From the sections of docs/figures.json to a figure."""


def at(figures: Any, *path: str) -> Any:
    """What is there, or None."""
    for step in path:
        if not isinstance(figures, dict) or step not in figures:
            return None
        figures = figures[step]
    return figures


def value(*path: str) -> How:
    return lambda figures: at(figures, *path)


def ratio(how: How, to: How, scale: float = 1.0) -> How:
    def of(figures: Figures) -> float | None:
        one, other = how(figures), to(figures)
        return None if one is None or not other else scale * one / other

    return of


def percent(how: How, of: How) -> How:
    return ratio(how, of, 100.0)


def most(hows: Callable[[Figures], list[float | None]]) -> How:
    """The worst of several; None as soon as one of them is missing."""

    def of(figures: Figures) -> float | None:
        values = [one for one in hows(figures) if one is not None]
        return max(values) if values and len(values) == len(hows(figures)) else None

    return of


def total(*hows: How) -> How:
    def of(figures: Figures) -> float | None:
        values = [how(figures) for how in hows]
        return reduce(
            lambda one, other: None if one is None or other is None else one + other, values
        )

    return of


# ── the figures of each section ──


def per_s(path: str) -> How:
    return value("throughput", "per_second", path, "median")


def level(name: str) -> How:
    return value("telling", "per_second", name, "median")


def peer(name: str, kind: str, setting: str = "default") -> How:
    return value("peers", name, setting, f"{kind}_per_s", "median")


LOG_KINDS = ("lines alike", "lines alike, followed", "random lines, followed")


def slowest_log(figures: Figures) -> float | None:
    speeds = [at(figures, "logs", kind, "lines_per_s") for kind in LOG_KINDS]
    return min((speed for speed in speeds if speed is not None), default=None)


def log_memory(*parts: str) -> How:
    """The most of all runs above what the same processes held before the first."""

    def above(figures: Figures, kind: str) -> float | None:
        before = total(
            *(value("logs", LOG_KINDS[0], "memory", "idle", part, "pss_mb") for part in parts)
        )(figures)
        then = total(*(value("logs", kind, "memory", "most", part, "pss_mb") for part in parts))(
            figures
        )
        return None if before is None or then is None else then - before

    return most(lambda figures: [above(figures, kind) for kind in LOG_KINDS])


def behind(share: str) -> How:
    return most(
        lambda figures: [
            at(figures, "logs", kind, "follower", "seconds_behind", share) for kind in LOG_KINDS[1:]
        ]
    )


def claim_cases(figures: Figures) -> dict[str, dict[str, Any]]:
    """By a name that does not depend on how many rows there were: shallow, deep, dead, old (if they
    are there)."""
    ms = at(figures, "claims", "ms") or {}
    queued = [name for name in ms if name.endswith(" queued")]
    names = {
        "shallow": queued[:1],
        "deep": queued[1:2],
        "dead": [name for name in ms if name.endswith("dead rows")],
        "old": [name for name in ms if name.endswith("old snapshot")],
    }
    return {case: ms[found[0]] for case, found in names.items() if found}


def claim(*path: str) -> How:
    return lambda figures: at(claim_cases(figures), *path)


def loaded_server(kind: str) -> How:
    """The largest of the servers in any round."""

    def each(figures: Figures) -> list[float | None]:
        rounds = at(figures, "memory", "drain", "rounds") or []
        return [held[kind] for drain in rounds for held in drain["most"].values()]

    return most(each)


def full_worker(kind: str) -> How:
    return total(
        *(
            value("memory", "worker", "all slots taken, most", part, kind)
            for part in ("agent", "supervisor")
        )
    )


def idle(*path: str, scene: str = "idle workers") -> How:
    return value("idle", "figures", scene, *path)


def start(program: str) -> How:
    return value("startup", "ms", program, "median")


def dead_rows(table: str) -> How:
    return value("soak", "dead_tuples", table, "median")
