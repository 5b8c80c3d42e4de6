"""The holder of a key, or of two, sends the bodies of its calls slowly: calls with another key are
answered all the while, from the same address too."""

import time
from contextlib import ExitStack

import pytest

from hodei.access.roles import Role
from tests.hostile.conftest import attack, through_another_address, watched
from tests.hostile.keyed import Keyed

CREATE = "/hodei.v1.JobService/CreateJobs"

LATE_S = 12.0
"""Seconds after which the last slow body has been refused."""


@pytest.mark.parametrize("addresses", [1, 2])
def test_slow_bodies_of_one_key_hold_up_no_other_key(addresses: int, keyed: Keyed) -> None:
    key = keyed.keys[Role.SUBMITTER]
    with ExitStack() as opened:
        second = opened.enter_context(through_another_address(keyed.address))
        seen = opened.enter_context(watched(keyed.hodei, key=keyed.innocent))
        for address in (keyed.address, second)[:addresses]:
            opened.enter_context(attack("stall", address, 40, 8, CREATE, 100, key=key))
        time.sleep(LATE_S)
    seen.check()
    keyed.check_well()


def test_slow_bodies_of_two_keys_hold_up_no_third_one(keyed: Keyed) -> None:
    """Together they had all turns, for ten seconds."""
    with ExitStack() as opened:
        seen = opened.enter_context(watched(keyed.hodei, key=keyed.innocent))
        for role in (Role.SUBMITTER, Role.OPERATOR):
            stalled = ("stall", keyed.address, 40, 8, CREATE, 100)
            opened.enter_context(attack(*stalled, key=keyed.keys[role]))
        time.sleep(1)
    seen.check()
    keyed.check_well()


def test_two_addresses_leave_creates_to_a_third_one(keyed: Keyed) -> None:
    """Each sends as many at once as it may."""
    key = keyed.keys[Role.SUBMITTER]
    with (
        through_another_address(keyed.address) as second,
        through_another_address(keyed.address, "127.0.0.3") as third,
        watched(keyed.hodei, third, key=keyed.innocent) as seen,
        attack("stall", keyed.address, 1200, 4, CREATE, 100, key=key),
        attack("stall", second, 1200, 4, CREATE, 100, key=key),
    ):
        time.sleep(1)
    seen.check()
    keyed.check_well()
