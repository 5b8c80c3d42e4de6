"""Asks an engine what has become of a container, also one that is away for a while."""

import asyncio
import time
from collections.abc import Callable

import orjson

from hodei_worker.containers.engine import Engine, EngineError, EngineGone
from hodei_worker.containers.state import Ended, State, state_of

OUT_OF_MEMORY_S = 0.3
"""Seconds after the end within which an engine learns that the kernel has killed a process of the
container for lack of memory."""

ENGINE_BACK_S = 0.5
"""Seconds between two questions to an engine that did not answer."""


class Fate:
    """The end of one container, whatever becomes of the engine meanwhile."""

    def __init__(self, engine: Engine, container: str) -> None:
        self._engine = engine
        self._container = container
        self._was_away = False  # the engine, since we ask

    async def await_end(self, is_stopped: Callable[[], bool]) -> Ended | None:
        """Returns how the container ended; None if it is gone. `is_stopped`: whether we asked it to
        end."""
        unseen = False
        while True:
            try:
                if self._was_away:
                    unseen = (await self._state()).ended is not None
                await self._engine.wait(self._container)
                state = await self._state()
                if ended := state.ended:
                    explained = await self._explained(ended, state, is_stopped())
                    return explained._replace(unseen=unseen)
            except EngineGone:
                self._was_away = True
            except EngineError as error:
                if error.status == 404:
                    return None
                self._was_away = True
            await asyncio.sleep(ENGINE_BACK_S)

    async def ask_state(self) -> State | None:
        """Returns None if there is no such container."""
        while True:
            try:
                return await self._state()
            except EngineError as error:
                if error.status == 404:
                    return None
            except EngineGone:
                self._was_away = True
            await asyncio.sleep(ENGINE_BACK_S)

    async def _state(self) -> State:
        return state_of(await self._engine.json("GET", f"/containers/{self._container}/json"))

    async def _explained(self, ended: Ended, state: State, is_stopped: bool) -> Ended:
        """Adds why it was killed, if the engine knows. Raises EngineGone if the engine is being
        stopped."""
        if is_stopped:
            return ended
        if ended.was_killed and not await self._engine.listens():
            raise EngineGone("it is being stopped")
        if ended.exit_code and state.has_memory_limit and not ended.out_of_memory:
            ended = ended._replace(out_of_memory=await self._was_out_of_memory(state))
        return ended._replace(by_engine=self._was_away and ended.was_killed)

    async def _was_out_of_memory(self, state: State) -> bool:
        """Asks for the event of which the engine may learn after the end."""
        filters = {"container": [self._container], "event": ["oom"]}
        query = {
            "since": f"{state.started:.0f}",
            "until": f"{time.time() + OUT_OF_MEMORY_S:.3f}",
            "filters": orjson.dumps(filters).decode(),
        }
        return bool(await self._engine.call("GET", "/events", query=query))
