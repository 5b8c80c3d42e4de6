"""Gathers one job's output into chunks of up to 64 KiB or 100 ms."""

import asyncio
from collections.abc import Callable

from hodei_worker.supervisor.guard import Guard
from hodei_worker.supervisor.spool import CHUNK_BYTES

AGE_S = 0.1
"""Seconds that a byte waits for others at most. They count from the first byte, so that steady
output cannot delay it."""

ORDER_S = 0.02
"""Seconds between two chunks of a stream at least, if the job writes to both streams in turn."""


class Gathered:
    def __init__(self, guard: Guard, store: Callable[[int, bytes], None]) -> None:
        """`store` gets a stream and at most CHUNK_BYTES of it."""
        self._guard = guard
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._bytes: dict[int, bytearray] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}
        self._since: dict[int, float] = {}  # stream → when its first byte was added
        self._last_added_at = self._loop.time()  # or when this was made

    def silence_s(self) -> float:
        """Returns the seconds since something was added."""
        return self._loop.time() - self._last_added_at

    def touch(self) -> None:
        """Notes that something was read that is added later."""
        self._last_added_at = self._loop.time()

    def add(self, stream: int, data: bytes) -> None:
        """Stores whole chunks at once; the rest waits for more."""
        self._last_added_at = self._loop.time()
        self._keep_order(stream)
        gathered = self._bytes.get(stream)
        if gathered:
            gathered += data
            if len(gathered) < CHUNK_BYTES:
                return
            data = bytes(gathered)
            gathered.clear()
        whole = len(data) - len(data) % CHUNK_BYTES
        if whole:
            self._flush_older(stream)
            self._since.pop(stream, None)
        for start in range(0, whole, CHUNK_BYTES):
            self._store(stream, data[start : start + CHUNK_BYTES])
        if whole < len(data):
            self._bytes.setdefault(stream, bytearray()).extend(data[whole:] if whole else data)
            self._since.setdefault(stream, self._last_added_at)
            if stream not in self._timers:
                later = self._loop.call_later
                self._timers[stream] = later(AGE_S, self._guard, self._flush_in_order, stream)

    def _keep_order(self, stream: int) -> None:
        """Stores the gathered output of the other stream first if it is ORDER_S older."""
        if not self._since or (len(self._since) == 1 and stream in self._since):
            return
        if self._last_added_at - min(self._since.values()) >= ORDER_S:
            self.flush()

    def _flush_in_order(self, stream: int) -> None:
        self._flush_older(stream)
        self._flush(stream)

    def _flush_older(self, stream: int) -> None:
        """Stores the output of the other stream if it began to gather before this one's."""
        since = self._since.get(stream, self._last_added_at)
        for other in [s for s, at in self._since.items() if s != stream and at <= since]:
            self._flush(other)

    def _flush(self, stream: int) -> None:
        if timer := self._timers.pop(stream, None):
            timer.cancel()
        self._since.pop(stream, None)
        if gathered := self._bytes.pop(stream, None):
            self._store(stream, bytes(gathered))

    def flush(self) -> None:
        """Stores all that was gathered."""
        for stream in sorted(self._since, key=self._since.__getitem__):
            self._flush(stream)
