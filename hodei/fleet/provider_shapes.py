"""Rows of providers as their shapes."""

from dataclasses import replace

from hodei.domain import provider
from hodei.domain.errors import Invalid
from hodei.domain.provider import Settings
from hodei.shapes.fields import Time
from hodei.shapes.provider import Provider
from hodei.store.provider_configs import MOST_PROVIDERS
from hodei.store.provider_view import Shown

BEYOND = (
    f"servers look after {MOST_PROVIDERS} providers, and as many come before this one: give it a"
    " higher priority, or remove others"
)
"""Nobody looks after its row, and whatever is written there is of an earlier time."""


def of_provider(row: Shown) -> Provider:
    """A provider. One whose row is wrong has no settings, and `wrong` says why."""
    shape = Provider(
        provider_id=str(row.id),
        name=row.name,
        provider_type=row.provider_type,
        status=row.status,
        status_reason=BEYOND if row.beyond else row.status_reason or None,
        priority=row.priority,
        max_workers=row.max_workers,
        workers=row.seen.workers,
        starting=row.seen.starting,
        busy=row.seen.busy,
        demand=row.seen.demand,
        engine_id=row.engine_id or None,
        server_id=str(row.server_id) if row.server_id else None,
        failures=row.failures,
        failed_at=Time(row.failed_at) if row.failed_at else None,
        created_at=Time(row.created_at),
    )
    try:
        settings = provider.read(row.id, row.name, row.provider_type, row.config, row.max_workers)
    except Invalid as error:
        return replace(shape, wrong=str(error))
    return _with_settings(shape, settings)


def _with_settings(shape: Provider, settings: Settings) -> Provider:
    return replace(
        shape,
        engine=settings.place,
        image=settings.image,
        network=settings.network,
        slots=settings.slots,
        labels=settings.labels,
        server_address=",".join(settings.server_address) or None,
        warm_slots=settings.warm_slots,
        idle_time_s=settings.idle_time_s,
        boot_timeout_s=settings.boot_timeout_s,
        ephemeral=settings.ephemeral,
        docker_socket=settings.docker_socket,
        job_user=settings.job_user,
    )
