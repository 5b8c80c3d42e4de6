"""What lasts is logged once a minute, and what is new at once."""

import time

import pytest

from hodei.fleet.repeated import AGAIN_S, Repeated


def test_the_same_words_are_said_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    said: list[str] = []
    trouble = Repeated(said.append)
    for _ in range(150):
        trouble.meet("away")
        now += AGAIN_S / 60
    assert said == ["away"] * 3
    trouble.meet("read-only")
    trouble.end()
    trouble.meet("read-only")
    assert said[3:] == ["read-only"] * 2
