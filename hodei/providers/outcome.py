"""What a look at a provider comes to: its status, why it makes nothing, and what was seen there."""

from typing import Any

from hodei.domain.provider import Settings
from hodei.domain.spec_keys import EXECUTOR
from hodei.providers.carry_out import Done
from hodei.providers.contract import Engine
from hodei.providers.plan import DEGRADED_AFTER, Plan, backoff_s
from hodei.store.provider_configs import Outcome, Row

LONGEST_REASON = 600
"""Characters of a `status_reason`."""


def refused(row: Row, words: str, *, keeps: bool = True) -> Outcome:
    """Nothing could be done. `keeps`: this server looks again; else another one may."""
    return Outcome(
        reason=words[:LONGEST_REASON],
        degraded=row.failures >= DEGRADED_AFTER,
        failures=row.failures,
        failed_now=False,
        seen=row.seen if isinstance(row.seen, dict) else {},
        keeps=keeps,
    )


def of_look(
    row: Row, settings: Settings, engine: Engine, demand: int, plan: Plan, done: Done
) -> Outcome:
    """What was done, or what has failed."""
    failures = 0 if plan.recovered else row.failures
    failure = row.seen.get("failure") if failures and isinstance(row.seen, dict) else None
    if done.failed:
        failures += 1
        failure = f"{done.failed}; the next one is made {backoff_s(failures):g} s later"
    reason = failure if isinstance(failure, str) else ""
    if not reason and not engine.has_image:
        reason = (
            f"no image {settings.image} on the engine; workers are made of images that are there"
        )
    there = plan.there + done.made - done.removed
    return Outcome(
        reason=reason[:LONGEST_REASON],
        degraded=failures >= DEGRADED_AFTER,
        failures=min(failures, 1_000_000),
        failed_now=bool(done.failed),
        seen={
            "labels": labels_of(settings, engine),
            "room": max(settings.max_workers - there, 0),
            "workers": there,
            "starting": plan.starting + done.made,
            "busy": plan.busy,
            "demand": demand,
            **({"failure": reason[:LONGEST_REASON]} if failures else {}),
        },
    )


def differs(row: Row, outcome: Outcome) -> bool:
    """Whether the row does not say this yet."""
    said = (row.status_reason, row.failures, row.seen)
    degraded = row.status.strip().upper() == "DEGRADED"
    return (
        outcome.failed_now
        or said != (outcome.reason, outcome.failures, outcome.seen)
        or degraded != outcome.degraded
    )


def labels_of(settings: Settings, engine: Engine) -> dict[str, str]:
    """The labels that servers will give to a worker of this provider."""
    labels = settings.labels | {"hodei/os": engine.os, "hodei/arch": engine.arch}
    return labels | ({EXECUTOR: "docker"} if settings.docker_socket else {})


def labels_that_come_first(seen: Any) -> dict[str, str] | None:
    """The labels of another provider's workers, if it has room for more. `seen` is what was noted of
    it, unless a hand has set it."""
    if not isinstance(seen, dict):
        return None
    room, labels = seen.get("room"), seen.get("labels")
    return labels if isinstance(room, int) and room > 0 and isinstance(labels, dict) else None
