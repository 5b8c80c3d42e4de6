"""Masks the log of one container, between the engine and what is kept."""

import asyncio
from collections.abc import Iterator

from hodei_worker.containers.masked_stream import MaskedStream, Restart
from hodei_worker.containers.position import Position
from hodei_worker.supervisor.masking import Masked, Masks
from hodei_worker.supervisor.secrets import Values
from hodei_worker.supervisor.spool import STDERR, STDOUT

VALUES_WITHIN_S = 300.0
"""Seconds after the end of a container within which the values of its secrets must have come. Its
log is lost then."""


class Masking:
    """The values may come later: nothing is read before."""

    def __init__(self, position: Position) -> None:
        self._position = position
        self._masks: Masks | None = None
        self._come = asyncio.Event()  # set too when they are waited for no longer
        self._streams: dict[int, MaskedStream] = {}

    def give(self, values: Values) -> None:
        if self._masks is None:
            self._masks = Masks(values.values())
            self._come.set()

    async def wait(self, ended: asyncio.Event) -> bool:
        """Waits for the values. False: they have not come, VALUES_WITHIN_S after the container has
        ended."""
        if self._masks is not None:
            return True
        async with asyncio.TaskGroup() as group:
            giving_up = group.create_task(self._give_up_after(ended))
            await self._come.wait()
            giving_up.cancel()
        return self._masks is not None

    async def _give_up_after(self, ended: asyncio.Event) -> None:
        await ended.wait()
        await asyncio.sleep(VALUES_WITHIN_S)
        self._come.set()

    def begin_again(self) -> None:
        """Each stream goes on as the position says."""
        if self._masks is not None:
            for stream in (STDOUT, STDERR):
                restart = self._position.restart(stream)
                self._streams[stream] = MaskedStream(self._masks, restart)

    def forget(self, stream: int) -> None:
        """What comes next does not follow what came before."""
        if self._masks is not None:
            self._streams[stream] = MaskedStream(self._masks, Restart())

    def feed(self, stream: int, data: bytes) -> bytes:
        """Returns what is to be kept of what has come."""
        one = self._streams[stream]
        skips = one.restart.more
        out = one.feed(data)
        if skips:
            self._position.note_restart(stream, one.restart)
        return out

    def store(self, stream: int, data: bytes) -> None:
        self._position.store_masked(stream, data, self._streams[stream])

    def end(self) -> Iterator[tuple[int, bytes]]:
        """Yields for each stream what was held back."""
        for stream, one in self._streams.items():
            if held := one.end():
                yield stream, held

    def of_text(self, words: str) -> str:
        if self._masks is None:
            return words
        one, data = Masked(self._masks), words.encode(errors="replace")
        pieces = [*one.feed(data), *one.end()]
        return b"".join(piece.out for piece in pieces).decode(errors="replace")
