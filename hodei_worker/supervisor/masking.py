"""Puts *** in the place of the values of secrets, in what a job writes, before it is kept.

Each stream is masked by itself. Occurrences that overlap are one; every byte of each is masked. The
end of what came is held back only where it may be the beginning of a form that more output
completes. So the result does not depend on how the output was cut."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hodei_worker.supervisor.forms import forms
from hodei_worker.supervisor.repeating import Repeating, period

MASK = b"***"

HEAD_BYTES = 8
"""Bytes of the beginning of each form by which it is looked for: an automaton over whole forms
would take 100 MB for a few large values."""


SHORT_BYTES = 256
"""Bytes of a form that is compared so fast that it does not matter whether it repeats itself."""


class Piece(NamedTuple):
    """A part of what a stream is masked to."""

    out: bytes
    raw: int  # bytes of the job's own that it stands for
    masked: bool


class Masks:
    """What is looked for in the output of one job."""

    def __init__(self, values: Iterable[str]) -> None:
        from ahocorasick_rs import BytesAhoCorasick  # only for jobs with secrets

        by_head: dict[bytes, list[bytes]] = defaultdict(list)
        self._periods: dict[bytes, int] = {}  # of the forms that repeat themselves
        for form in sorted(forms(value.encode() for value in values), key=len, reverse=True):
            by_head[form[:HEAD_BYTES]].append(form)
            if len(form) > SHORT_BYTES and (length := period(form)) <= len(form) // 2:
                self._periods[form] = length
        self._forms = list(by_head.values())  # by the number of their head, the longest first
        # of forms: shorter than a head, and no whole ones
        self._beginnings = {head[:n] for head in by_head for n in range(1, len(head))}
        self._equal_heads = len({len(head) for head in by_head}) == 1
        self._heads = BytesAhoCorasick(list(by_head)) if by_head else None

    def search(self, data: bytes) -> tuple[list[tuple[int, int]], int]:
        """Returns where forms stand in the data, as (begin, end), by their begin, and from where on
        the end of the data may be the beginning of a form; its length if nowhere."""
        found: list[tuple[int, int]] = []
        size = tail = len(data)
        reach = 0
        repeating = Repeating(data, self._periods)
        for head, begin in self._places(data):
            for form in self._forms[head]:
                end = begin + len(form)
                if end <= reach:
                    break  # all of it, and of shorter ones, is masked already
                if (end > size and begin > tail) or repeating.misses(form, begin):
                    continue
                if end > size and _continues(form, data, begin):
                    tail = begin
                elif data.startswith(form, begin):
                    reach = repeating.end_of_run(form, end)
                    found.append((begin, reach))
                    break
                else:
                    repeating.note_miss(form, begin)
        return found, min(tail, self._short_tail(data))

    def _places(self, data: bytes) -> Iterable[tuple[int, int]]:
        """Returns where heads stand, as (number of the head, begin), by their begin."""
        if self._heads is None:
            return []
        places = self._heads.find_matches_as_indexes(data, overlapping=True)
        found = ((head, begin) for head, begin, _ in places)
        return found if self._equal_heads else sorted(found, key=lambda place: place[1])

    def _short_tail(self, data: bytes) -> int:
        """Returns where an end of the data begins that is shorter than a head."""
        size = len(data)
        for begin in range(max(0, size - HEAD_BYTES + 1), size):
            if data[begin:] in self._beginnings:
                return begin
        return size


def _continues(form: bytes, data: bytes, begin: int) -> bool:
    """Whether the data from `begin` on is a beginning of the form. Its last bytes are compared
    first: that saves most comparisons of long ones."""
    length = len(data) - begin
    least = max(0, length - 64)
    return data.endswith(form[least:length]) and data.startswith(form[:length], begin)


class Masked:
    """One stream of a job."""

    def __init__(self, masks: Masks, covered: int = 0) -> None:
        """`covered`: bytes at the beginning for which a mask was given out before."""
        self._masks = masks
        self._held = b""
        self.covered = covered  # bytes of what is held for which a mask was given out

    @property
    def held(self) -> int:
        """Bytes that are held back, or were masked and may be the beginning of a further form."""
        return len(self._held)

    def feed(self, data: bytes) -> Iterator[Piece]:
        """Yields what can be given out now that this has come."""
        data = self._held + data if self._held else data
        found, tail = self._masks.search(data)
        yield from self._give_out(data, found, tail)

    def end(self) -> Iterator[Piece]:
        """Yields what was held back. Nothing comes after it."""
        found, _ = self._masks.search(self._held)
        yield from self._give_out(self._held, found, len(self._held))

    def _give_out(self, data: bytes, found: list[tuple[int, int]], until: int) -> Iterator[Piece]:
        done = self.covered
        for begin, end in found:
            if begin >= until:
                break
            if begin < done:  # it overlaps the one before
                if end > done:
                    yield Piece(b"", end - done, masked=True)
                    done = end
                continue
            if begin > done:
                yield Piece(data[done:begin], begin - done, masked=False)
            yield Piece(MASK, end - begin, masked=True)
            done = end
        if done < until:
            yield Piece(data[done:until], until - done, masked=False)
            done = until
        self._held, self.covered = data[until:], done - until
