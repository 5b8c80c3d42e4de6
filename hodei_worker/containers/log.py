"""The log of one container, from the engine to the job's spool: followed while the container runs,
and read to its end when it has ended. After a break it goes on behind the last byte that was kept."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hodei_worker.containers.engine import Engine, EngineError, EngineGone, broken
from hodei_worker.containers.frames import BEFORE_ALL, BadLog, Frames, Lines, Message
from hodei_worker.containers.masking import Masking
from hodei_worker.containers.position import Mark, Position
from hodei_worker.supervisor.gathered import Gathered
from hodei_worker.supervisor.guard import Guard
from hodei_worker.supervisor.kept import Kept
from hodei_worker.supervisor.secrets import Values
from hodei_worker.supervisor.spool import STDERR, Chunk, JobSpool

READ_BYTES = 1 << 18

MOST_ERROR = 8192
"""Bytes of the beginning of stderr that are kept: words about a failed start have a path at most."""

AGAIN_S = 0.2
"""Seconds before a log is read again that the engine has broken off."""

SLACK_S = 1
"""Whole seconds by which the messages of the two streams may be out of order in the engine's log."""

FIXES_LINES = 23
"""The first major version of the Docker Engine that keeps the LF behind a line of several pieces."""

NO_VALUES = (
    "the values of its secrets did not come, without which nothing of it may be kept: no server to"
    " which this worker connected could decrypt them"
)

LOST = b"[output is missing here: the Docker Engine no longer has it]\n"


class Unreadable(Exception):
    """The engine cannot give this log. The message has its words."""


class Log:
    """The log of one attempt's container."""

    def __init__(
        self,
        engine: Engine,
        job_spool: JobSpool,
        limit: int,
        path: Path,
        guard: Guard,
        on_chunk: Callable[[Chunk], None],
        on_disk_full: Callable[[], None],
        secrets: Values | None = None,
    ) -> None:
        """`limit`: bytes to keep, 0: all. `path`: file of the position. `secrets`: values to mask;
        empty: they come later, and nothing is read before; None: the job has none."""
        self._engine = engine
        self._job_spool = job_spool
        self._on_chunk = on_chunk
        self.kept = Kept(job_spool, limit, on_chunk, on_disk_full)
        self.position = Position(path, job_spool, self.kept, masked=secrets is not None)
        self._masking = Masking(self.position) if secrets is not None else None
        store = self.position.store if self._masking is None else self._masking.store
        self._gathered = Gathered(guard, store)
        self.give_secrets(secrets)
        self._room = asyncio.Event()
        self._room.set()
        self._resumed: dict[int, Mark] = {}
        self.first_error = b""  # the beginning of stderr, for words about a failed start

    def begin(self) -> None:
        """Called when the container runs: a later process finds the position from now on."""
        self.position.started = True
        self.position.write()

    def give_secrets(self, values: Values | None) -> None:
        """The values to mask: the first that come count."""
        if self._masking is not None and values:
            self._masking.give(values)

    def masked(self, words: str) -> str:
        """Returns words about the job without the values of its secrets."""
        return words if self._masking is None else self._masking.of_text(words)

    def silence_s(self) -> float:
        """Returns the seconds since the container last wrote; 0 while the job's spool is full."""
        return 0.0 if not self._room.is_set() else self._gathered.silence_s()

    def notice(self, words: str) -> None:
        self._gathered.flush()
        self._on_chunk(self._job_spool.append_notice(f"[{self.masked(words)}]\n".encode()))
        self.position.write()

    def resume(self) -> None:
        """Called when chunks were acknowledged."""
        if not self._job_spool.full:
            self._room.set()

    async def read_all(self, container: str, ended: asyncio.Event) -> None:
        """Reads until `ended` is set and everything was read. Raises Unreadable."""
        if self._masking is not None and not await self._masking.wait(ended):
            raise Unreadable(NO_VALUES)
        while True:
            last = ended.is_set()
            try:
                await self._read(container, follow=not last)
            except EngineGone:
                last = False
                await asyncio.sleep(AGAIN_S)
            except EngineError as error:
                raise Unreadable(str(error)) from error
            except BadLog as error:
                raise Unreadable(f"the Docker Engine sent {error}") from error
            if last:
                return
            await _set_within(ended, AGAIN_S)

    async def _read(self, container: str, *, follow: bool) -> None:
        since = self.begin_again()
        frames, lines = Frames(), Lines(old_engine=self._engine.release < FIXES_LINES)
        query = {"stdout": "1", "stderr": "1", "timestamps": "1", "follow": "1" if follow else "0"}
        query |= {"since": _seconds(since)} if since != BEFORE_ALL else {}
        path = f"/containers/{container}/logs"
        async with self._engine.stream("GET", path, query) as content:
            with broken():
                while data := await content.read(READ_BYTES):
                    for message in frames.feed(data):
                        for mended in lines.mend(message):
                            self.gather(mended)
                    if self._job_spool.full:
                        await self._wait_for_room()
        if not follow:
            for message in lines.end():
                self.gather(message)

    def begin_again(self) -> bytes:
        """Keeps what was read. Returns the time from which on the log is needed; `gather` leaves out
        what of it is kept."""
        self._gathered.flush()
        since, self._resumed = self.position.again(_a_little_before)
        if self._masking is not None:
            self._masking.begin_again()
        return since

    async def _wait_for_room(self) -> None:
        self._room.clear()
        await self._room.wait()

    def gather(self, message: Message) -> None:
        """Gathers what of a message was not kept before."""
        stream, time, data = message
        self.position.seen = time
        mark, cut = self._resumed.get(stream), 0
        if mark:
            if time < mark.time:
                return
            if time > mark.time:
                if mark.under and not mark.seen:
                    self._tell_loss(stream, mark)
                mark.under = 0
            mark.seen = True
            cut = min(mark.under, len(data))
            more = min(mark.more, len(data) - cut)
            mark.under -= cut
            mark.more -= more
            if more:
                self.position.note_kept(stream, time, more)
            if not mark.under and not mark.more:
                del self._resumed[stream]
            cut += more
        if cut == len(data):
            return
        self.position.note_read(stream, time, len(data) - cut)
        self._add(stream, data[cut:])

    def _add(self, stream: int, data: bytes) -> None:
        if self._masking is not None:
            data = self._masking.feed(stream, data)
            if not data:
                self._gathered.touch()
                return
        if stream == STDERR and len(self.first_error) < MOST_ERROR:
            self.first_error = (self.first_error + data)[:MOST_ERROR]
        self._gathered.add(stream, data)

    def _tell_loss(self, stream: int, mark: Mark) -> None:
        """The engine has dropped the message at which this log goes on, and perhaps others."""
        mark.more = 0
        self._gathered.flush()
        if self._masking is not None:
            self._masking.forget(stream)
        self._on_chunk(self._job_spool.append_notice(LOST))

    def close(self) -> None:
        """Keeps what was read. Called at the attempt's end."""
        if self._masking is not None:
            for stream, held in self._masking.end():
                self._gathered.add(stream, held)
        self._gathered.flush()
        self.kept.close()
        self.position.close()


async def _set_within(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return


def _a_little_before(time: bytes) -> bytes:
    moment = datetime.fromisoformat(time[:19].decode()) - timedelta(seconds=SLACK_S)
    return moment.isoformat().encode() + time[19:]


def _seconds(time: bytes) -> str:
    """Returns a time as the API takes it: seconds since 1970 with nine places."""
    moment = datetime.fromisoformat(time[:19].decode()).replace(tzinfo=UTC)
    return f"{int(moment.timestamp())}{time[19:29].decode()}"
