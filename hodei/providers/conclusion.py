"""What a reconciliation of a provider comes to: its status, why it makes nothing, and what was seen
there."""

from collections.abc import Mapping

from hodei.domain.provider import Settings, Status, status_of
from hodei.domain.provider_seen import Seen
from hodei.domain.spec_keys import EXECUTOR, LABEL_VALUE, SECRETS
from hodei.providers.carry_out import Done
from hodei.providers.contract import Engine
from hodei.providers.plan import DEGRADED_AFTER, Plan, View, backoff_s
from hodei.store.provider_configs import Conclusion, Row

LONGEST_REASON = 600
"""Characters of a `status_reason`."""


def refused(row: Row, words: str, *, keeps: bool = True) -> Conclusion:
    """Nothing could be done. `keeps`: this server keeps the row; else another one may take it."""
    return Conclusion(
        reason=words[:LONGEST_REASON],
        degraded=row.failures >= DEGRADED_AFTER,
        failures=row.failures,
        failed_now=False,
        seen=row.seen,
        keeps=keeps,
    )


def of_plan(row: Row, engine: Engine, view: View, plan: Plan, done: Done) -> Conclusion:
    """What was done, or what has failed."""
    settings = view.settings
    failures = 0 if plan.recovered else row.failures
    reason = row.seen.failure if failures else ""
    if done.failed:
        failures += 1
        reason = f"{done.failed}; the next one is made {backoff_s(failures):g} s later"
    if not reason and not engine.has_image:
        reason = (
            f"no image {settings.image} on the engine; workers are made of images that are there"
        )
    there = plan.there + done.made - done.removed
    return Conclusion(
        reason=reason[:LONGEST_REASON],
        degraded=failures >= DEGRADED_AFTER,
        failures=min(failures, 1_000_000),
        failed_now=bool(done.failed),
        seen=Seen(
            labels=view.labels,
            room=max(settings.max_workers - there, 0),
            workers=there,
            starting=plan.starting + done.made,
            busy=plan.busy,
            demand=view.demand,
            failure=reason[:LONGEST_REASON] if failures else "",
        ),
    )


def differs(row: Row, conclusion: Conclusion) -> bool:
    """Whether the row does not say this yet."""
    said = (row.status_reason, row.failures, row.seen)
    degraded = status_of(row.status) is Status.DEGRADED
    return (
        conclusion.failed_now
        or said != (conclusion.reason, conclusion.failures, conclusion.seen)
        or degraded != conclusion.degraded
    )


def labels_of(settings: Settings, engine: Engine, *, decrypts: bool) -> dict[str, str]:
    """The labels that servers will give to a worker of this provider. `decrypts`: this server has
    keys of secrets, so that it gives jobs with secrets."""
    labels = settings.labels | {"hodei/os": engine.os, "hodei/arch": engine.arch}
    labels |= {EXECUTOR: "docker"} if settings.docker_socket else {}
    return labels | ({SECRETS: LABEL_VALUE} if decrypts else {})


def labels_that_come_first(seen: Seen) -> Mapping[str, str] | None:
    """The labels of another provider's workers, if it has room for more."""
    return seen.labels if seen.room > 0 else None
