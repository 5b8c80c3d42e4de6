"""What `hodei status` says of certificates that end, without a server whose own has ended."""

import time

import pytest

from hodei.cli.status import SOON_S, _first_to_expire
from hodei.shapes.fields import Time
from hodei.shapes.fleet import ListeningServer, Status

DAY_S = 86_400


def status(*left_s: float | None) -> Status:
    listening = [
        ListeningServer(
            address=f"server-{number}:50051",
            certificate_expires_at=None if left is None else Time(int((time.time() + left) * 1e6)),
        )
        for number, left in enumerate(left_s)
    ]
    return Status(
        jobs={},
        workers={},
        servers=len(listening),
        version="1",
        schema_version=1,
        database="18",
        listening=listening,
        queued=0,
        queued_ready=0,
        slots=0,
        slots_busy=0,
        tokens_usable=0,
    )


@pytest.mark.parametrize(
    ("left_s", "words"),
    [
        ([], ""),
        ([None], ""),
        ([None, SOON_S + DAY_S], ""),
        ([None, 100 * DAY_S, 5.1 * DAY_S], "that of server-2:50051 expires in 5 d 2 h"),
        ([3 * DAY_S, -DAY_S], "that of server-1:50051 expired "),
    ],
)
def test_the_first_end_is_told_if_it_is_near(left_s: list[float | None], words: str) -> None:
    said = _first_to_expire(status(*left_s))
    assert said.startswith(words)
    assert bool(said) == bool(words)
