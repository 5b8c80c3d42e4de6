"""Who causes a change, as events name it."""

import json


class Actor(str):
    """The name of an actor that acts for somebody else: a text like any other actor, which carries
    what is only said."""

    __slots__ = ("on_behalf_of",)
    on_behalf_of: str

    def __new__(cls, name: str, on_behalf_of: str = "") -> "Actor":
        made = super().__new__(cls, name)
        made.on_behalf_of = on_behalf_of
        return made


def on_behalf_of(actor: str) -> str:
    """For whom an actor says that it acts; empty: it says nothing."""
    return actor.on_behalf_of if isinstance(actor, Actor) else ""


def said_by(actor: str) -> str:
    """What an event's payload says besides of its actor, as JSON: an object with `on_behalf_of`, or
    an empty one."""
    said = on_behalf_of(actor)
    return json.dumps({"on_behalf_of": said}, ensure_ascii=False) if said else "{}"


def with_addition(actor: str, addition: str) -> str:
    """The same actor for a part of its own work, as `cli:ana:deploy`."""
    return Actor(f"{actor}:{addition}", on_behalf_of(actor))
