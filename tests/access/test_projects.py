"""Which project a caller means, and what a name of one may be."""

import pytest

from hodei.access import projects
from hodei.access.principal import Principal
from hodei.access.roles import Role
from hodei.domain.errors import Forbidden, Invalid
from hodei.domain.project import checked
from hodei.protocol import hodei_pb2 as pb
from hodei.rpc import worker_checks

ANYBODY = Principal("api:ana", Role.SUBMITTER, None)
BOUND = Principal("api:web-ci", Role.ADMIN, "web")

NAMES = ("a", "9", "A.b_c-d", "x" * 63)
NO_NAMES = ("x" * 64, "a b", "-a", ".a", "a/b", "a\0", "a\n", "\x1b[31m", "é", "x" * 10_000_000)


def test_a_caller_creates_in_the_project_that_it_names_or_in_its_own() -> None:
    assert projects.to_create_in(ANYBODY, "") == "default"
    assert projects.to_create_in(ANYBODY, "shop") == "shop"
    assert projects.to_create_in(BOUND, "") == projects.to_create_in(BOUND, "web") == "web"
    assert projects.to_search(ANYBODY, "") is None
    assert projects.to_search(ANYBODY, "shop") == "shop"
    assert projects.to_search(BOUND, "") == "web"
    for ask in (projects.to_create_in, projects.to_search):
        with pytest.raises(Invalid, match="expected web, which this caller is bound to, got shop"):
            ask(BOUND, "shop")


def test_what_concerns_all_projects_is_forbidden_to_a_bound_caller() -> None:
    projects.check_unbound(ANYBODY)
    with pytest.raises(Forbidden, match="the API key web-ci reaches only project web"):
        projects.check_unbound(BOUND)


def hello(*names: str) -> pb.Hello:
    return pb.Hello(protocol_min=1, protocol_max=1, slots=1, name="w", projects=names)


@pytest.mark.parametrize("name", NAMES)
def test_a_name(name: str) -> None:
    assert checked(name) == name
    worker_checks.hello(hello(name))


@pytest.mark.parametrize("name", NO_NAMES, ids=range(len(NO_NAMES)))
def test_no_name(name: str) -> None:
    for refuse in (checked, lambda text: worker_checks.hello(hello(text))):
        with pytest.raises(Invalid, match="project: expected 1 to 63 letters") as refused:
            refuse(name)
        assert len(str(refused.value)) < 500
    with pytest.raises(Invalid, match="project: expected 1 to 63 letters"):
        projects.to_search(BOUND, name)


def test_a_worker_may_name_only_so_many() -> None:
    worker_checks.hello(hello(*(f"p{n}" for n in range(worker_checks.MOST_PROJECTS))))
    with pytest.raises(Invalid, match="projects: expected at most 100, got 101"):
        worker_checks.hello(hello(*(f"p{n}" for n in range(101))))
