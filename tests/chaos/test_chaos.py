"""A short run of bin/chaos. What it did, and its seed, are in the output when it fails."""

import random

import pytest

from tests.chaos.attack import attack


@pytest.mark.slow
def test_a_short_attack_leaves_a_sound_system() -> None:
    chaos, found = attack(30.0, random.SystemRandom().randrange(10**6), at_least=20)
    assert found == []
    assert chaos.faults.total() >= 20
    assert chaos.jobs >= 40
    assert len(chaos.wild.jobs) >= 3
    assert chaos.left == []
