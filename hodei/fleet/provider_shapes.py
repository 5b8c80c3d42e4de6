"""Rows of providers as their shapes."""

from typing import Any

from hodei.domain import provider
from hodei.domain.errors import Invalid
from hodei.domain.provider import DEFAULT_IMAGE
from hodei.shapes.fields import Time
from hodei.shapes.provider import Provider
from hodei.store.provider_configs import MOST_PROVIDERS
from hodei.store.provider_view import Shown

MOST = (1 << 31) - 1

BEYOND = (
    f"servers look after {MOST_PROVIDERS} providers, and as many come before this one: give it a"
    " higher priority, or remove others"
)
"""Nobody looks after its row, and whatever is written there is of an earlier time."""


def of_provider(row: Shown) -> Provider:
    """A provider. One whose row is wrong has no settings, and `wrong` says why."""
    seen = row.seen if isinstance(row.seen, dict) else {}
    return Provider(
        provider_id=str(row.id),
        name=row.name,
        provider_type=row.provider_type,
        status=row.status,
        status_reason=BEYOND if row.beyond else row.status_reason or None,
        priority=row.priority,
        max_workers=row.max_workers,
        workers=_number(seen, "workers"),
        starting=_number(seen, "starting"),
        busy=_number(seen, "busy"),
        demand=_number(seen, "demand"),
        engine_id=row.engine_id or None,
        server_id=str(row.server_id) if row.server_id else None,
        failures=row.failures,
        failed_at=Time(row.failed_at) if row.failed_at else None,
        created_at=Time(row.created_at),
        **_settings(row),
    )


def _settings(row: Shown) -> dict[str, Any]:
    try:
        found = provider.read(
            row.id, row.name, row.provider_type, row.config, row.max_workers, DEFAULT_IMAGE
        )
    except Invalid as error:
        return {"wrong": str(error)}
    return {
        "engine": found.place,
        "image": found.image,
        "network": found.network,
        "slots": found.slots,
        "labels": found.labels,
        "server_address": ",".join(found.server_address) or None,
        "warm_slots": found.warm_slots,
        "idle_time_s": found.idle_time_s,
        "boot_timeout_s": found.boot_timeout_s,
        "ephemeral": found.ephemeral,
        "docker_socket": found.docker_socket,
        "job_user": found.job_user,
    }


def _number(seen: dict[str, Any], key: str) -> int:
    """A number that a server has noted, unless a hand has set it to something else."""
    value = seen.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        return 0
    return value if 0 <= value <= MOST else 0
