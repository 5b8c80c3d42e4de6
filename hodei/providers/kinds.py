"""The kinds of providers. A module of one is imported when a row needs it."""

from hodei.domain.provider import Settings
from hodei.providers.contract import Provider


def provider_of(settings: Settings) -> Provider:
    """Returns a provider for a row; `settings.kind` is one that domain/provider.py knows."""
    if settings.kind != "docker":
        raise AssertionError(f"no provider of the kind {settings.kind}")
    from hodei.providers.docker import Docker

    return Docker(settings)
