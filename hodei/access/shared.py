"""One reading of the database for all callers who ask the same at the same time."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from hodei.domain.errors import HodeiError

T = TypeVar("T")


class SharedReading(Generic[T]):
    """Whoever asks while a reading is under way shares the next one with all others who do. Nobody
    gets what was read before they asked, and nothing is kept when nobody asks."""

    def __init__(self, read: Callable[[], Awaitable[T]]) -> None:
        self._read = read
        self._lock = asyncio.Lock()
        self._begun = self._ended = 0  # the readings so far
        self._asking = 0
        self._value: T | None = None
        self._error: HodeiError | None = None

    async def get(self) -> T:
        """Returns what was read after this call. HodeiError: as the reading failed."""
        begun = self._begun
        self._asking += 1
        try:
            async with self._lock:
                if self._ended <= begun:
                    await self._renew()
                if self._error:
                    raise self._error
                return self._value  # type: ignore[return-value]
        finally:
            self._asking -= 1
            if not self._asking:
                self._value = self._error = None

    async def _renew(self) -> None:
        self._begun += 1
        number = self._begun
        self._value = self._error = None
        try:
            self._value = await self._read()
        except HodeiError as error:  # all who wait for this reading share its failure
            self._error = error
        self._ended = number
