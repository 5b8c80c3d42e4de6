"""The client for ordinary programs: each call returns when it is answered."""

import time
from collections.abc import Callable, Generator, Iterable, Sequence
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
from hodei.tls.caller import Tls, close_interrupted, interrupt_of, open_channel
from hodei.tls.grpc_words import was_not_sent

T = TypeVar("T")
Jobs = list[Job]  # within the class `list` is a verb


class Hodei:
    """A client of some servers. Any number of threads may use it.

    `servers` is HOST:PORT[,HOST:PORT…] or a list of HOST:PORT; otherwise HODEI_SERVER_ADDRESS says
    them, or else it is 127.0.0.1:50051. A call goes to the server that answered last, and to the
    others when that one does not answer. `call_timeout` bounds each call, in seconds and with all
    of its tries, unless the call has its own. `actor` is who does it, for the audit. `api_key` is
    the API key that each call is made with; otherwise HODEI_API_KEY_FILE or HODEI_API_KEY says it.
    An address that begins with https:// has TLS, for which `tls`, or else HODEI_TLS_CA and its like,
    says more.

    Every call may raise a HodeiError: Unavailable or TimedOut when no server answers in time."""

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

    def submit(
        self,
        spec: AnySpec | None = None,
        /,
        *,
        project: str | None = None,
        call_timeout: float | None = None,
        **keys: Unpack[Spec],
    ) -> str:
        """Creates a job and returns its id. The spec is a mapping, keys, or both. The job belongs to
        `project`, otherwise to the one that the API key is bound to, or else to `default`.

        Invalid: a server refuses the spec, or the key is bound to another project. Duplicate: the
        id exists with another spec, or in another project. Unsupported: a server of an older
        release has no projects; nothing is stored."""
        return self._run(verbs.submit(one_spec(spec, keys), project), call_timeout)

    def submit_many(
        self,
        specs: Iterable[AnySpec],
        *,
        project: str | None = None,
        ids_from: JobId | None = None,
        call_timeout: float | None = None,
    ) -> list[str]:
        """Creates jobs and returns their ids in order. Up to 1,000 specs and 3 MB are stored
        together or not at all; more go in pieces of that size, each with the call's time.
        `project` is as in submit, and so is Unsupported. The ids of specs without one are counted
        from `ids_from`, of new_id, by their places: a call that is repeated with it is the same jobs.
        An error after which some of them may be stored says it.

        Invalid, Duplicate: a spec is refused, and with it its piece and those behind it."""
        return self._run(verbs.submit_many(specs, project, ids_from), call_timeout)

    def get(self, job: JobId, *, call_timeout: float | None = None) -> Job:
        """Returns a job. NotFound."""
        return self._run(verbs.get(job), call_timeout)

    def wait(
        self, job: JobId, timeout: float | None = None, *, call_timeout: float | None = None
    ) -> Job:
        """Waits until a job has ended, whichever way, and returns it. TimedOut: it has not within
        `timeout` seconds; it goes on. NotFound."""
        waiting = Waiting(job, timeout)
        for _chunk in self._read(waiting, call_timeout):
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
    ) -> Generator[LogChunk, None, None]:
        """Yields what a job has written, and with `follow` what it will write, until it has ended.
        When a server goes away, another one goes on at the same place.

        `attempt` reads only that attempt, `tail` only that number of the last lines of each stream, and
        `since` only what was written from that time on, or not longer ago than that.

        NotFound: there is no such job, or no such attempt. Unsupported: a server of an older
        release sends only whole logs."""
        part = log_fields(attempt, tail, since)
        return self._read(Reading(job, part, follow=follow), call_timeout)

    def cancel(self, job: JobId, *, call_timeout: float | None = None) -> Job:
        """Asks for a job's end; returns the job as it is then: CANCELLED if it waited, and still
        RUNNING if it has to be stopped. NotFound. Conflict: it has ended already."""
        return self._run(verbs.cancel(job), call_timeout)

    def retry(
        self, job: JobId, *, new_id: JobId | None = None, call_timeout: float | None = None
    ) -> Job:
        """Runs an ended job again as a new job, which it returns. NotFound. Conflict: the job has
        not ended. Duplicate: `new_id` exists with another spec."""
        return self._run(verbs.retry(job, new_id), call_timeout)

    def timeline(self, job: JobId, *, call_timeout: float | None = None) -> list[Event]:
        """Returns the last 1,000 events of a job, oldest first. NotFound."""
        return self._run(verbs.timeline(job), call_timeout)

    def attempts(self, job: JobId, *, call_timeout: float | None = None) -> list[Attempt]:
        """Returns the last 1,000 attempts of a job, oldest first. NotFound."""
        return self._run(verbs.attempts(job), call_timeout)

    def list(
        self,
        *,
        before: JobId | None = None,
        limit: int = 20,
        call_timeout: float | None = None,
        **wanted: Unpack[Filter],
    ) -> Jobs:
        """Returns the newest `limit` jobs that a filter wants, without their specs; `before` is the
        last job of the list that this one continues. The servers look at all jobs until they have
        found `limit`: `since` bounds that.

        Invalid: a filter is wrong. NotFound: `before` is no job. Unsupported: a server of an older
        release does not know the filter."""
        listing = verbs.list_jobs(wanted, before, limit)
        return self._run(listing, call_timeout)

    def close(self) -> None:
        """Ends the calls that are still open, with Closed, and lets no further one begin."""
        for channel in self._channels.close():
            channel.close()

    def __enter__(self) -> "Hodei":
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """As `close`; it does not wait for that after an interrupt."""
        if interrupt_of(error) is None:
            self.close()
            return
        for channel in self._channels.close():
            close_interrupted(channel)

    def _run(self, verb: verbs.Verb[T], call_timeout: float | None) -> T:
        """Makes the calls of a verb, each in turn."""
        try:
            call = next(verb)
            while True:
                try:
                    answer = self._answer(call, call_timeout)
                except HodeiError as error:
                    call = verb.throw(error)
                else:
                    call = verb.send(answer)
        except StopIteration as end:
            result: T = end.value
            return result

    def _answer(self, call: verbs.Call, call_timeout: float | None) -> Any:
        import grpc

        call.tries = tries = self._channels.tries(call_timeout)
        while True:
            place = tries.next().place
            try:
                stub, metadata = self._channels.stub(place), self._channels.metadata
                for name, request in call.steps:
                    only_asked = name != call.method
                    method, seconds = getattr(stub, name), tries.next().seconds
                    answer = method(request, timeout=seconds, metadata=metadata)
            except (grpc.RpcError, ValueError) as error:
                status, words = self._status(error)
            else:
                tries.succeeded()
                return answer
            self._pause(tries, partial(tries.failed, only_asked=only_asked), status, words)

    def _pause(
        self, tries: Tries, after: Callable[[str, str], float], status: str, words: str
    ) -> None:
        """Waits until the next try. HodeiError: there is none."""
        if was_not_sent(words):
            self._channels.no_connection()
        try:
            pause = after(status, words)
        except Unavailable as error:
            raise self._channels.explained(error, tries) from None
        time.sleep(pause)

    def _read(
        self, reading: Reading, call_timeout: float | None
    ) -> Generator[LogChunk, None, None]:
        import grpc

        tries = self._channels.tries(call_timeout)
        while not reading.done:
            place, seconds = reading.next(tries)
            metadata = self._channels.metadata
            try:
                stub = self._channels.stub(place)
                job = stub.GetJob(reading.job_request, timeout=seconds, metadata=metadata)
                reading.found(job, tries)
                if not reading.done:
                    yield from self._stream(stub, reading, tries)
                    reading.finished()
                continue
            except (grpc.RpcError, ValueError) as error:
                status, words = self._status(error)
            self._pause(tries, partial(reading.broke, tries), status, words)

    def _stream(self, stub: Any, reading: Reading, tries: Tries) -> Generator[LogChunk, None, None]:
        stream = getattr(stub, reading.method)(
            reading.request(), timeout=reading.seconds(), metadata=self._channels.metadata
        )
        try:
            for message in stream:
                yield from reading.chunks_of(message, tries)
        finally:
            stream.cancel()

    def _status(self, error: Any) -> tuple[str, str]:
        """The status of a failed call, and its words. Closed: the client was closed meanwhile, for
        which gRPC has a ValueError too."""
        if self._channels.closed:
            raise Closed("this client was closed during the call") from None
        if isinstance(error, ValueError):
            raise error
        return error.code().name, error.details() or ""


def _open(address: Address, tls: Tls) -> Any:
    import grpc

    return open_channel(grpc, address, tls, OPTIONS)
