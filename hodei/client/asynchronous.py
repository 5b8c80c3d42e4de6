"""The client for asyncio: the same verbs, to be awaited. Cancelling a task cancels its call.

asyncio is imported when it is used: it takes as long as all the rest of hodei.client."""

from collections.abc import AsyncGenerator, Callable, Iterable, Sequence
from contextlib import aclosing
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, Unpack

from hodei.client import verbs
from hodei.client.channels import CALL_S, OPTIONS, Channels
from hodei.client.errors import Closed, HodeiError, Unavailable
from hodei.client.filters import Filter, log_fields
from hodei.client.following import Reading, Waiting
from hodei.client.reading import JobId, LogChunk
from hodei.client.records import Attempt, Event, Job
from hodei.client.servers import Tries
from hodei.client.specs import AnySpec, Spec, one_spec
from hodei.tls.address import Address
from hodei.tls.caller import Tls, open_channel
from hodei.tls.grpc_words import was_not_sent

T = TypeVar("T")
Jobs = list[Job]  # within the class `list` is a verb


class AsyncHodei:
    """Does as Hodei, for the tasks of one event loop."""

    def __init__(
        self,
        servers: str | Sequence[str] | None = None,
        *,
        actor: str | None = None,
        api_key: str | None = None,
        call_timeout: float = CALL_S,
        tls: Tls | None = None,
    ) -> None:
        self._channels = Channels(servers, actor, call_timeout, tls, _open, api_key)
        self._loop: Any = None

    async def submit(
        self,
        spec: AnySpec | None = None,
        /,
        *,
        project: str | None = None,
        call_timeout: float | None = None,
        **keys: Unpack[Spec],
    ) -> str:
        """Does as Hodei.submit."""
        return await self._run(verbs.submit(one_spec(spec, keys), project), call_timeout)

    async def submit_many(
        self,
        specs: Iterable[AnySpec],
        *,
        project: str | None = None,
        ids_from: JobId | None = None,
        call_timeout: float | None = None,
    ) -> list[str]:
        """Does as Hodei.submit_many."""
        return await self._run(verbs.submit_many(specs, project, ids_from), call_timeout)

    async def get(self, job: JobId, *, call_timeout: float | None = None) -> Job:
        """Does as Hodei.get."""
        return await self._run(verbs.get(job), call_timeout)

    async def wait(
        self, job: JobId, timeout: float | None = None, *, call_timeout: float | None = None
    ) -> Job:
        """Does as Hodei.wait."""
        waiting = Waiting(job, timeout)
        async for _chunk in self._read(waiting, call_timeout):
            pass
        return waiting.final

    def logs(
        self,
        job: JobId,
        *,
        follow: bool = False,
        attempt: int | None = None,
        tail: int | None = None,
        since: datetime | timedelta | None = None,
        call_timeout: float | None = None,
    ) -> AsyncGenerator[LogChunk, None]:
        """Does as Hodei.logs. Whoever leaves the loop before its end closes the iterator, with
        contextlib.aclosing, which ends the call."""
        part = log_fields(attempt, tail, since)
        return self._read(Reading(job, part, follow=follow), call_timeout)

    async def cancel(self, job: JobId, *, call_timeout: float | None = None) -> Job:
        """Does as Hodei.cancel."""
        return await self._run(verbs.cancel(job), call_timeout)

    async def retry(
        self, job: JobId, *, new_id: JobId | None = None, call_timeout: float | None = None
    ) -> Job:
        """Does as Hodei.retry."""
        return await self._run(verbs.retry(job, new_id), call_timeout)

    async def timeline(self, job: JobId, *, call_timeout: float | None = None) -> list[Event]:
        """Does as Hodei.timeline."""
        return await self._run(verbs.timeline(job), call_timeout)

    async def attempts(self, job: JobId, *, call_timeout: float | None = None) -> list[Attempt]:
        """Does as Hodei.attempts."""
        return await self._run(verbs.attempts(job), call_timeout)

    async def list(
        self,
        *,
        before: JobId | None = None,
        limit: int = 20,
        call_timeout: float | None = None,
        **wanted: Unpack[Filter],
    ) -> Jobs:
        """Does as Hodei.list."""
        listing = verbs.list_jobs(wanted, before, limit)
        return await self._run(listing, call_timeout)

    async def close(self) -> None:
        """Does as Hodei.close."""
        for channel in self._channels.close():
            await channel.close()

    async def __aenter__(self) -> "AsyncHodei":
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def _run(self, verb: verbs.Verb[T], call_timeout: float | None) -> T:
        """Makes the calls of a verb, each in turn."""
        try:
            call = next(verb)
            while True:
                try:
                    answer = await self._answer(call, call_timeout)
                except HodeiError as error:
                    call = verb.throw(error)
                else:
                    call = verb.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    async def _answer(self, call: verbs.Call, call_timeout: float | None) -> Any:
        call.tries = tries = self._channels.tries(call_timeout)
        while True:
            place = tries.next().place
            try:
                stub, metadata = self._stub(place), self._channels.metadata
                for name, request in call.steps:
                    only_asked = name != call.method
                    method, seconds = getattr(stub, name), tries.next().seconds
                    answer = await method(request, timeout=seconds, metadata=metadata)
            except _failures() as error:
                status, words = self._status(error)
            else:
                tries.succeeded()
                return answer
            await self._pause(tries, partial(tries.failed, only_asked=only_asked), status, words)

    async def _pause(
        self, tries: Tries, after: Callable[[str, str], float], status: str, words: str
    ) -> None:
        """Does as Hodei._pause."""
        import asyncio

        if was_not_sent(words):
            self._channels.no_connection()
        try:
            pause = after(status, words)
        except Unavailable as error:
            raise await asyncio.to_thread(self._channels.explained, error, tries) from None
        await asyncio.sleep(pause)

    async def _read(
        self, reading: Reading, call_timeout: float | None
    ) -> AsyncGenerator[LogChunk, None]:
        tries = self._channels.tries(call_timeout)
        while not reading.done:
            place, seconds = reading.next(tries)
            metadata = self._channels.metadata
            try:
                stub = self._stub(place)
                job = await stub.GetJob(reading.job_request, timeout=seconds, metadata=metadata)
                reading.found(job, tries)
                if not reading.done:
                    async with aclosing(self._stream(stub, reading, tries)) as chunks:
                        async for one in chunks:
                            yield one
                    reading.finished()
                continue
            except _failures() as error:
                status, words = self._status(error)
            await self._pause(tries, partial(reading.broke, tries), status, words)

    async def _stream(
        self, stub: Any, reading: Reading, tries: Tries
    ) -> AsyncGenerator[LogChunk, None]:
        stream = getattr(stub, reading.method)(
            reading.request(), timeout=reading.seconds(), metadata=self._channels.metadata
        )
        try:
            async for message in stream:
                for one in reading.chunks_of(message, tries):
                    yield one
        finally:
            stream.cancel()

    def _stub(self, place: int) -> Any:
        """The stub of a server. Closed: another event loop has used this client."""
        import asyncio

        loop = asyncio.get_running_loop()
        if self._loop not in (None, loop):
            raise Closed("this client belongs to another event loop: make one in each")
        self._loop = loop
        return self._channels.stub(place)

    def _status(self, error: BaseException) -> tuple[str, str]:
        """The status of a failed call, and its words. Closed: the client was closed meanwhile, for
        which gRPC has a UsageError and, where the task itself was not cancelled, a
        CancelledError."""
        import asyncio

        import grpc

        task = asyncio.current_task()
        cancelled = isinstance(error, asyncio.CancelledError) and task and task.cancelling()
        if self._channels.closed and not cancelled:
            raise Closed("this client was closed during the call") from None
        if not isinstance(error, grpc.aio.AioRpcError):
            raise error
        return error.code().name, error.details() or ""


def _failures() -> tuple[type[BaseException], ...]:
    """What a call of gRPC may raise."""
    import asyncio

    import grpc.aio

    return (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.CancelledError)


def _open(address: Address, tls: Tls) -> Any:
    import grpc.aio

    return open_channel(grpc.aio, address, tls, OPTIONS)
