"""Which project a caller means. Who is bound to one reaches only that: whatever it names, it is not
told whether another project exists."""

from hodei.access.principal import Principal
from hodei.domain import project
from hodei.domain.errors import Forbidden, Invalid


def to_create_in(who: Principal, named: str) -> str:
    """Returns the project of the jobs that a caller creates: the one that it is bound to, else the
    one that it names, else the default one. Invalid: it names another than its own, or what cannot
    be a name."""
    return to_search(who, named) or project.DEFAULT


def to_search(who: Principal, named: str) -> str | None:
    """Returns the project among whose jobs a caller searches; None: among all. Invalid: as of
    to_create_in."""
    if named:
        project.checked(named)
    if who.project is None or named in ("", who.project):
        return who.project or named or None
    raise Invalid(f"project: expected {who.project}, which this caller is bound to, got {named}")


def check_unbound(who: Principal) -> None:
    """Forbidden: the caller is bound to a project, and what it asks for concerns all of them."""
    if who.project is not None:
        raise Forbidden(
            f"the API key {who.actor.removeprefix('api:')} reaches only project {who.project}:"
            " expected one of all projects for this"
        )
