"""What PostgreSQL notifies this server of: new work, cancels, workers that an operator has changed,
and API keys that were made or revoked.

A notification is a hint: while the listener is away, the sweeps' look each second goes on alone."""

import asyncio
import random
import uuid
from typing import NamedTuple

import psycopg
from loguru import logger

from hodei.access.keyring import Keyring
from hodei.domain.text import words_of
from hodei.fleet.presence import Presence
from hodei.fleet.repeated import Repeated
from hodei.fleet.sessions import Sessions
from hodei.flow.cancel import Canceller
from hodei.flow.dispatch import JobDispatcher
from hodei.store import api_keys
from hodei.store.database import TROUBLE
from hodei.store.listener import listen
from hodei.store.server import listener_name

MOST_CHANGES = 1000
"""Changes of workers that wait to be acted on. When there are more, they are found by the next
heartbeat or look."""


WORK, CANCEL, WORKER = "hodei_work", "hodei_cancel", "hodei_worker"
CHANNELS = (WORK, CANCEL, WORKER, api_keys.CHANNEL)
"""The channels of the statements that notify."""


class _Change(NamedTuple):
    """Something about a worker whose stream may be here."""

    channel: str
    worker_id: uuid.UUID


class Notices:
    def __init__(
        self,
        listen_url: str,
        presence: Presence,
        dispatcher: JobDispatcher,
        canceller: Canceller,
        sessions: Sessions,
        keyring: Keyring,
    ) -> None:
        """`listen_url`: PostgreSQL itself, past a pooler that keeps no session."""
        self._listen_url = listen_url
        self._presence = presence
        self._dispatcher = dispatcher
        self._canceller = canceller
        self._sessions = sessions
        self._keyring = keyring
        self._trouble = Repeated(logger.warning)
        self._changes: asyncio.Queue[_Change] = asyncio.Queue(MOST_CHANGES)

    async def listen(self) -> None:
        """Takes notifications in, for ever; connects again when the connection is lost."""
        name = listener_name(self._presence.server_id)
        while True:
            try:
                await listen(self._listen_url, CHANNELS, self._take, name)
            except (psycopg.Error, OSError, TimeoutError) as error:
                self._trouble.meet(
                    f"listener lost, work is found by polling meanwhile: {words_of(error)}"
                )
            await asyncio.sleep(random.uniform(0.5, 1.5))  # noqa: S311

    def _take(self, channel: str, payload: str) -> None:
        """Takes one notification; an empty channel means that the listener has just connected, and
        anything may have been missed."""
        if channel == WORK:
            self._dispatcher.wake()
        elif channel == api_keys.CHANNEL:
            self._keyring.wake()
        elif channel:
            self._put(channel, payload)
        else:
            self._trouble.end()
            self._dispatcher.wake()
            self._keyring.wake()
            for stream in self._presence:
                self._put(WORKER, str(stream.worker_id))
                self._put(CANCEL, str(stream.worker_id))

    def _put(self, channel: str, payload: str) -> None:
        try:
            worker_id = uuid.UUID(payload)
        except ValueError:  # anybody may notify
            return
        if self._presence.get(worker_id) and not self._changes.full():
            self._changes.put_nowait(_Change(channel, worker_id))

    async def act(self) -> None:
        """Acts on changes of workers, for ever."""
        while True:
            channel, worker_id = await self._changes.get()
            try:
                if channel == CANCEL:
                    await self._canceller.deliver([worker_id])
                elif self._presence.get(worker_id):
                    await self._sessions.refresh(worker_id)
            except TROUBLE as error:
                logger.warning("{}", words_of(error))
