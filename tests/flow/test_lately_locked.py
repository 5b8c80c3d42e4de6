"""How long a row is spared that was locked."""

from hodei.flow.sweeps.lately_locked import SPARED_S, LatelyLocked


def test_what_was_locked_is_spared_until_it_could_be_written() -> None:
    now = 1000.0
    spared = LatelyLocked[str](lambda: now)
    assert spared.note(["a", "b"]) == ["a", "b"]
    now += SPARED_S - 1
    assert spared.note(["b"]) == ["a", "b"]
    now += 1
    assert spared.note([]) == ["b"], "it was locked a second ago"
    now += SPARED_S
    assert spared.note([]) == []
