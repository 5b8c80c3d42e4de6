"""Where a claim begins: at the head of the queue, unless the head is heavy with dead rows.

Each claimed job leaves a dead row, and while somebody's old transaction is open no vacuum can
remove it: a claim from the head wades through all of them (200,000: some 50 ms). Then claims go on
where the last one ended, and begin at the head again only so often that the wading takes a tenth of
the time. Until then, or until they find nothing for a second, they do not see what came to lie before
that place: jobs of another priority, and offers that returned.
"""

from hodei.store.claims import Position

WADES_S = 0.025
"""Seconds from which on a claim from the head is taken to have waded through dead rows."""

PATIENCE = 10.0
"""The next claim from the head comes after 10 times as long as the last one took, but after
MOST_PATIENCE_S at the latest."""

MOST_PATIENCE_S = 5.0


class QueueHead:
    """Where the claims of one set of labels begin."""

    def __init__(self) -> None:
        self._last: Position | None = None
        self._head_at = 0.0

    @property
    def wading(self) -> bool:
        """Returns whether claims go on beyond a head that is heavy with dead rows."""
        return self._head_at > 0.0

    def look(self) -> None:
        """Has the next claim begin at the head: jobs are ready, and none was found where claims go
        on."""
        self._head_at = 0.0

    def begin(self, now: float) -> Position | None:
        """Returns where the next claim begins; None: at the head. `now`: loop time."""
        return self._last if now < self._head_at else None

    def ended(
        self, begun: Position | None, last: Position | None, now: float, took_s: float
    ) -> None:
        """Takes what became of a claim: where it began (as `begin` said), where its last job stood,
        and how many seconds it took."""
        self._last = last or self._last
        if begun is None:
            self._head_at = (
                now + min(MOST_PATIENCE_S, took_s * PATIENCE)
                if took_s > WADES_S and self._last
                else 0.0
            )
