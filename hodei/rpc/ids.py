"""Ids on the wire."""

import uuid

from hodei.domain.errors import Invalid


def uuid_of(text: str, what: str) -> uuid.UUID:
    """The UUID that the text says. Invalid: it is none; `what` names the field."""
    try:
        return uuid.UUID(text)
    except ValueError:
        raise Invalid(f"{what}: expected a UUID, got {text[:80]!r}") from None


def uuid_or_none(text: str, what: str) -> uuid.UUID | None:
    """Does as uuid_of; None for an empty text."""
    return uuid_of(text, what) if text else None
