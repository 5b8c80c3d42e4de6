"""Where a claim begins: at the head of the queue, unless the head is heavy with dead rows.

Each claimed job leaves a dead row, and while somebody's old transaction is open no vacuum can
remove it: a claim from the head wades through all of them (200,000: some 50 ms). Then claims go on
where the last one ended, and begin at the head again only so often that the wading takes a tenth of
the time. Until then they do not see what came to lie before that place: jobs of another priority,
and offers that returned.
"""

from hodei.store.claims import Position

WADES_S = 0.025
"""A claim from the head that took so long was wading."""

PATIENCE = 10.0
"""The next one comes after so many times as long as it took, but for MOST_PATIENCE_S at most."""

MOST_PATIENCE_S = 5.0


class QueueHead:
    """For the claims of one set of labels."""

    def __init__(self) -> None:
        self._last: Position | None = None
        self._head_at = 0.0

    @property
    def wading(self) -> bool:
        return self._head_at > 0.0

    def begin(self, now: float) -> Position | None:
        """None: at the head."""
        return self._last if now < self._head_at else None

    def ended(
        self, begun: Position | None, last: Position | None, now: float, took_s: float
    ) -> None:
        """What a claim came to that begin() has sent on its way."""
        self._last = last or self._last
        if begun is None:
            self._head_at = (
                now + min(MOST_PATIENCE_S, took_s * PATIENCE)
                if took_s > WADES_S and self._last
                else 0.0
            )
