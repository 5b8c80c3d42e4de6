"""Reading a log, and waiting for a job's end, across servers: what both clients know while they do
it. There is no I/O here."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from hodei.client import records
from hodei.client.channels import checked_seconds
from hodei.client.errors import TimedOut, Unsupported
from hodei.client.reading import JobId, LogChunk, chunk, id_of, record
from hodei.client.servers import Tries, Try
from hodei.client.verbs import request_of
from hodei.domain.errors import Invalid
from hodei.domain.job import FINAL

BEHIND_ALL = f"{(1 << 63) - 1}.0"
"""A cursor behind the last chunk of any log: a server tells only the job's end. So a server of an
older release, which has no WaitJobs, is waited for."""

STEADY_S = 1.0
"""Seconds for which a stream must have been open to count as an answer: a quiet job sends nothing
for hours."""

AGAIN_S = 1.0
"""Seconds between two questions for a job whose server has no room for a further reader."""


class Reading:
    """What has been read of one job. Before each stream the server is asked for the job, which it
    must answer in time: a stream may be quiet for ever."""

    method = "ReadLogs"
    """The call whose stream is read."""

    def __init__(self, job: JobId, part: Mapping[str, Any], *, follow: bool) -> None:
        if not isinstance(follow, bool):
            raise Invalid(f"follow: expected True or False, got {follow!r}")
        self.job_id = id_of(job)
        self.job_request = request_of("GetJob", job_id=self.job_id)
        self.done = False
        self._follow = follow
        self._part = dict(part)
        self._cursor = ""
        self._streaming_since: float | None = None

    def next(self, tries: Tries) -> Try:
        """The next try."""
        self._streaming_since = None
        return tries.next()

    def found(self, _job: Any, tries: Tries) -> None:
        """A server has answered with the job: its stream is opened now."""
        tries.succeeded()
        self._streaming_since = time.monotonic()

    def request(self) -> Any:
        """The request for the stream, from where the last one broke off: the last lines are
        counted only once."""
        if self._cursor:
            self._part.pop("tail_lines", None)
        return request_of(
            "ReadLogs",
            job_id=self.job_id,
            follow=self._follow,
            cursor=self._cursor,
            **self._part,
        )

    def seconds(self) -> float | None:
        """The time that a stream may take."""
        return None

    def chunks_of(self, message: Any, tries: Tries) -> Iterable[LogChunk]:
        """The chunks of an answer. Unsupported: a server of an older release sends the whole log."""
        if self._part and not message.selected:
            raise Unsupported("the server is of an older release: it sends only whole logs")
        tries.reset()
        self._cursor = message.cursor or self._cursor
        return map(chunk, message.chunks)

    def finished(self) -> None:
        """The stream has ended as it should."""
        self.done = True

    def broke(self, tries: Tries, status: str, words: str) -> float:
        """Returns the seconds to wait before the next try (Tries.failed has the errors)."""
        began = self._streaming_since
        if began is not None and time.monotonic() - began > STEADY_S:
            tries.reset()
        return tries.failed(status, words)


class Waiting(Reading):
    """Waits for the end of a job, `timeout` seconds at most. A stream that ends says that the job
    has ended; how it has, it is asked then."""

    method = "WaitJobs"

    def __init__(self, job: JobId, timeout: float | None) -> None:
        super().__init__(job, {}, follow=True)
        self._cursor = BEHIND_ALL
        self._timeout = None if timeout is None else checked_seconds(timeout, "timeout")
        self._deadline = None if self._timeout is None else time.monotonic() + self._timeout
        self._state = "not known yet"
        self._final: records.Job | None = None

    @property
    def final(self) -> records.Job:
        """The ended job, once it is done."""
        assert self._final  # noqa: S101  nothing else makes it done
        return self._final

    def next(self, tries: Tries) -> Try:
        place, seconds = super().next(tries)
        left = self.seconds()
        return Try(place, seconds if left is None else min(seconds, left))

    def request(self) -> Any:
        if self.method == "ReadLogs":
            return super().request()
        return request_of("WaitJobs", job_ids=[self.job_id])

    def seconds(self) -> float | None:
        if self._deadline is None:
            return None
        return max(0.001, self._deadline - time.monotonic())

    def found(self, job: Any, tries: Tries) -> None:
        super().found(job, tries)
        self._state = job.state
        if job.state in FINAL:
            self._final, self.done = record(records.Job, job), True

    def chunks_of(self, message: Any, tries: Tries) -> Iterable[LogChunk]:
        tries.reset()
        return ()

    def finished(self) -> None:
        """The job has ended, or was deleted: the server is asked for it."""

    def broke(self, tries: Tries, status: str, words: str) -> float:
        """Does as Reading.broke. A server that has too many readers has told of the job: it is asked
        again for that only. TimedOut: the job has not ended in time."""
        if self._deadline is not None and time.monotonic() >= self._deadline:
            raise TimedOut(
                f"job {self.job_id} has not ended within {self._timeout:g} s: it is {self._state}"
            )
        if self._streaming_since is not None and status == "UNIMPLEMENTED":
            self.method = "ReadLogs"
            pause = 0.0
        elif self._streaming_since is not None and status == "RESOURCE_EXHAUSTED":
            pause = tries.pass_over(AGAIN_S)
        else:
            pause = super().broke(tries, status, words)
        left = self.seconds()
        return pause if left is None else min(pause, left)
