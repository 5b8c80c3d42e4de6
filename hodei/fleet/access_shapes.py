"""Rows of API keys as their shapes."""

from hodei.shapes.access import ApiKey
from hodei.shapes.fields import Time
from hodei.store.api_keys import Key


def of_key(row: Key, *, text: str | None = None) -> ApiKey:
    """`text`: the key itself, for whoever has just made it."""
    return ApiKey(
        key=text,
        key_id=row.id,
        name=row.name,
        role=row.role,
        state=row.state,
        project=row.project,
        created_at=_time(row.created_at),
        created_by=row.created_by[:200],
        expires_at=_time(row.expires_at),
        revoked_at=_time(row.revoked_at),
        used_at=_time(row.used_at),
    )


def _time(unix_us: int | None) -> Time | None:
    return Time(unix_us) if unix_us else None
