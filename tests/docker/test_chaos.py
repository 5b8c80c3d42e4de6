"""A short run of `bin/chaos --docker`. What it did, and its seed, are in the output when it fails."""

import random

import pytest

from tests.chaos.attack import attack
from tests.docker.engines import can_be_started


def test_a_short_attack_on_container_jobs_leaves_a_sound_system() -> None:
    if reason := can_be_started():
        pytest.skip(reason)
    seed = random.SystemRandom().randrange(10**6)
    chaos, found = attack(30.0, seed, at_least=20, docker=True)
    assert found == []
    assert chaos.left == []
    assert chaos.contained
    assert len(chaos.contained.jobs) >= 5
