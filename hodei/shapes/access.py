"""API keys and callers, as they are shown."""

from dataclasses import dataclass
from typing import Annotated

from hodei.shapes.fields import Time


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """An API key."""

    key: Annotated[str | None, "The key itself: only in the answer to its creation."] = None
    key_id: Annotated[str, "Its id, by which it is named everywhere else."]
    name: Annotated[str, "Its name; `api:` and the name is the actor of its calls."]
    role: Annotated[str, "viewer, submitter, operator, admin or registrar."]
    state: Annotated[str, "USABLE, EXPIRED or REVOKED."]
    project: Annotated[str | None, "The only project that it reaches; null: all."] = None
    created_at: Annotated[Time | None, "When it was made."] = None
    created_by: Annotated[str, "Who made it."] = ""
    expires_at: Annotated[
        Time | None, "It is not valid from then on; null: it does not expire."
    ] = None
    revoked_at: Annotated[Time | None, "When it was revoked."] = None
    used_at: Annotated[Time | None, "The hour in which it was last used."] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who a caller is to the server, and what it may do."""

    actor: Annotated[str, "Its name in events."]
    role: Annotated[str, "none, viewer, submitter, operator, admin or registrar."]
    project: Annotated[str | None, "The only project that it reaches; null: all."] = None
    on_behalf_of: Annotated[str | None, "What a caller with a key says of itself."] = None
    version: Annotated[str, "The release of the server that answered."] = ""
