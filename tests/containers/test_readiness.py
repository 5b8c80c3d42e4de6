"""Whether an engine's disk has room, as far as it can be seen."""

import pytest

from hodei_worker.containers.engine import Engine
from hodei_worker.containers.readiness import Readiness

WORDS = "how full the Docker Engine's disk is cannot be seen here"


@pytest.mark.parametrize(
    ("said", "place"),
    [
        ({"DockerRootDir": "/nowhere/docker"}, "(/nowhere/docker)"),
        ({"DockerRootDir": "/a\0\x1b[2J"}, "(/a [2J)"),
        ({"DockerRootDir": 7}, "(its root)"),
        ({"DockerRootDir": "relative"}, "(its root)"),
        ({}, "(its root)"),
        ([], "(its root)"),
    ],
)
def test_a_disk_that_cannot_be_seen_is_told_once(said: object, place: str) -> None:
    told: list[str] = []
    readiness = Readiness(Engine("/nowhere.sock"))
    assert [readiness._disk(said, told.append) for _ in range(3)] == [""] * 3
    assert told == [f"{WORDS} {place}: container jobs are taken however full it is"]


def test_one_that_is_seen_is_not_told_of() -> None:
    told: list[str] = []
    Readiness(Engine("/nowhere.sock"))._disk({"DockerRootDir": "/"}, told.append)
    assert told == []
