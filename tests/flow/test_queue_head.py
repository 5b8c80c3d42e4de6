"""Claims begin at the head, and skip it while it is heavy with dead rows; without a database or a
clock."""

from hodei.flow.queue_head import MOST_PATIENCE_S, QueueHead
from hodei.store.claims import Position

HERE = Position(0, 1_767_225_600_000_000)
FURTHER = Position(0, 1_767_312_000_000_000)


def test_quick_claims_always_begin_at_the_head() -> None:
    head = QueueHead()
    for now in (0.0, 0.001, 0.002):
        assert head.begin(now) is None
        head.ended(None, HERE, now, took_s=0.002)
        assert not head.wading


def test_after_a_slow_one_they_go_on_where_the_last_one_ended() -> None:
    head = QueueHead()
    head.ended(None, HERE, 100.0, took_s=0.05)
    assert head.wading
    assert head.begin(100.1) == HERE
    head.ended(HERE, FURTHER, 100.1, took_s=0.001)
    assert head.begin(100.2) == FURTHER
    head.ended(FURTHER, None, 100.2, took_s=0.001)
    assert head.begin(100.3) == FURTHER, "nothing was there: the place stays"
    assert head.begin(100.5) is None, "ten times as long as the slow one took: from the head again"
    head.ended(None, FURTHER, 100.5, took_s=0.001)
    assert not head.wading


def test_the_head_is_looked_at_again_within_a_bound() -> None:
    head = QueueHead()
    head.ended(None, HERE, 100.0, took_s=60.0)
    assert head.begin(100.0 + MOST_PATIENCE_S) is None


def test_a_slow_claim_that_found_nothing_skips_nothing() -> None:
    head = QueueHead()
    head.ended(None, None, 100.0, took_s=0.05)
    assert head.begin(100.0) is None
