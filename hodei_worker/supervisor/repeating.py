"""Forms that repeat themselves, as a value of 64 KiB of one character: without care each of its
places would be compared with each place of what a job writes."""

from collections.abc import Mapping


def period(form: bytes) -> int:
    """Returns the smallest distance at which a form can overlap itself; its length if it cannot."""
    return (form + form).find(form, 1)


class Repeating:
    """Shortens one search in `data` for forms with these periods."""

    def __init__(self, data: bytes, periods: Mapping[bytes, int]) -> None:
        self._data = data
        self._periods = periods
        self._missed: dict[
            bytes, tuple[int, int]
        ] = {}  # form → (begin, the first byte that differs)

    def end_of_run(self, form: bytes, end: int) -> int:
        """Returns the end of the last of the occurrences that follow each other at the form's
        period. `end`: of the first."""
        length = self._periods.get(form)
        if length is None:
            return end
        unit = form[-length:]
        whole = _equal_bytes(self._data, end, unit * (2 + (len(self._data) - end) // length))
        return end + whole - whole % length

    def note_miss(self, form: bytes, begin: int) -> None:
        """Remembers where the data first differs from the form. At each period behind `begin`, up
        to that byte, it differs there as well."""
        if form in self._periods:
            self._missed[form] = begin, begin + _equal_bytes(self._data, begin, form)

    def misses(self, form: bytes, begin: int) -> bool:
        """Whether it is known that the form does not stand there."""
        if (missed := self._missed.get(form)) is None:
            return False
        first, differs = missed
        return begin <= differs < len(self._data) and (begin - first) % self._periods[form] == 0


def _equal_bytes(data: bytes, begin: int, form: bytes) -> int:
    """Returns how many bytes of the data from `begin` on are those of the form."""
    least, most = 0, min(len(form), len(data) - begin)
    while least < most:
        middle = (least + most + 1) // 2
        if data[begin + least : begin + middle] == form[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least
