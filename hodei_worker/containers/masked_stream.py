"""One masked stream of a container's log, with the place from which it goes on when it is read again:
a place in what the job wrote, which is not as long as what is kept of it."""

from collections import deque
from typing import NamedTuple

from hodei_worker.supervisor.masking import Masked, Masks, Piece


class Restart(NamedTuple):
    """From where the job's bytes are needed again."""

    raw: int = 0  # bytes of the job from where this stream began to be read
    covered: int = 0  # of the bytes from there on, those for which a mask is kept already
    more: int = 0  # bytes of what the rest is masked to that are kept already


class MaskedStream:
    """What of one stream is given out, and where its masking may begin again."""

    def __init__(self, masks: Masks, restart: Restart) -> None:
        """`restart`: where an earlier reading ended; its `raw` counts as 0."""
        self._masked = Masked(masks, restart.covered)
        self._pieces: deque[Piece] = deque()  # given out, and not kept yet
        self._raw = 0
        self._covered = restart.covered
        self._begun = 0  # bytes of a mask that are kept, of a mask that is not kept whole
        self._more = restart.more

    @property
    def restart(self) -> Restart:
        return Restart(self._raw, self._covered, self._begun + self._more)

    def feed(self, data: bytes) -> bytes:
        """Returns what can be kept now, without what is kept already."""
        return self._take(list(self._masked.feed(data)))

    def end(self) -> bytes:
        """Returns what was held back."""
        return self._take(list(self._masked.end()))

    def _take(self, pieces: list[Piece]) -> bytes:
        self._pieces.extend(pieces)
        out = b"".join(piece.out for piece in pieces)
        if not self._more:
            return out
        known = min(self._more, len(out))
        self._more -= known
        self.keep(known)
        return out[known:]

    def keep(self, length: int) -> None:
        """Notes that `length` further bytes of what was given out are kept."""
        while self._pieces:
            out, raw, masked = self._pieces[0]
            if not out:  # of a form that overlaps the one before
                self._covered += raw
                self._pieces.popleft()
                continue
            if not length:
                return
            self._raw, self._covered = self._raw + self._covered, 0
            part = min(length, len(out))
            length -= part
            if masked and part == len(out):
                self._covered, self._begun = raw, 0
            elif masked:
                self._begun += part
            else:
                self._raw += part
            if part < len(out):
                self._pieces[0] = Piece(out[part:], raw if masked else raw - part, masked)
                return
            self._pieces.popleft()
