"""The log of a job as servers send it, over as many servers as it takes."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from hodei.cli.client import Client
from hodei.cli.errors import Failure
from hodei.cli.older_server import older
from hodei.cli.reconnecting import answers
from hodei.cli.say import say
from hodei.cli.show import short_id
from hodei.cli.waits import waits_for
from hodei.domain.text import shown
from hodei.shapes import wire
from hodei.shapes.error import ErrorKind
from hodei.shapes.job import Job


class Selection(NamedTuple):
    """Which part of a log is wanted."""

    attempt: int = 0  # only of this one; 0: of all
    last_lines: int | None = None  # of each stream only this number of the last lines
    since: int = 0  # only what was read from then on, in microseconds since 1970

    def has(self, chunk: Any) -> bool:
        """Whether a chunk is wanted, as far as it says so itself."""
        return self.attempt in (0, chunk.attempt) and bool(chunk.read_unix_us >= self.since)


ALL = Selection()


class LogStream:
    """Reads a log once, from its beginning or from wherever the server went away."""

    def __init__(
        self,
        servers: str,
        job_id: str,
        *,
        follow: bool,
        selection: Selection = ALL,
        tell_waiting: bool = True,
    ) -> None:
        self._servers = servers
        self._job_id = job_id
        self._follow = follow
        self._selection = selection
        self._tell_waiting = tell_waiting
        self._cursor = ""
        self._told = ""
        self.final: Job | None = None
        """The job as it ended, once all is read of a log that is followed."""

    def chunks(self) -> Iterator[Any]:
        """Yields the chunks of ReadLogs; while it follows it says on stderr why the job waits.
        ClickException: the log cannot be read; the message says why."""
        come_back = f"hodei job logs -f {self._job_id}"
        for message in answers(self._servers, self._ask, again=self._follow, come_back=come_back):
            yield from filter(self._selection.has, message.chunks)
            self._tell(message.waiting_for)
            if message.HasField("job"):
                self.final = wire.read(Job, message.job)
        if self._follow and not self.final:  # it was deleted, or a server lies
            raise Failure(
                f"the log of job {self._job_id} has ended, and the server has told no end of the job",
                ErrorKind.INTERNAL,
            )

    def _ask(self, client: Client) -> Iterator[Any]:
        from hodei.protocol import hodei_pb2 as pb

        wanted = self._selection
        request = pb.ReadLogsRequest(
            job_id=self._job_id,
            follow=self._follow,
            cursor=self._cursor,
            attempt=wanted.attempt,
            tail_lines=wanted.last_lines,
            since_unix_us=wanted.since,
            tell_waiting=self._tell_waiting,
        )
        checked = False
        for message in self._answers(client, request):
            if not (checked or message.selected):
                self._check_without_selection(client)
            checked = True
            self._cursor = message.cursor
            yield message

    def _tell(self, waiting_for: str) -> None:
        if waiting_for and waiting_for != self._told:  # another server says the same again
            say(f"hodei: job {short_id(self._job_id)} waits for {shown(waits_for(waiting_for))}")
            self._told = waiting_for

    def _answers(self, client: Client, request: Any) -> Iterator[Any]:
        import grpc

        try:
            yield from client.stream(client.jobs.ReadLogs, request)
        except grpc.RpcError as error:
            if not (self._cursor and error.code() == grpc.StatusCode.NOT_FOUND):
                raise
            raise Failure(
                f"job {self._job_id} has been deleted meanwhile: its end is not known",
                ErrorKind.NOT_FOUND,
            ) from None

    def _check_without_selection(self, client: Client) -> None:
        """A server of an older release sends all of a log. What is wanted of an attempt or of a time
        is then chosen here. ClickException: the last lines would take all before them, or there is
        no such attempt."""
        from hodei.protocol import hodei_pb2 as pb

        if self._selection.last_lines is not None:
            lacks = "cannot count lines from the end of a log: leave --tail out, or use --since"
            raise older(client, lacks)
        if attempt := self._selection.attempt:
            found = client.call(client.jobs.GetAttempts, pb.JobRef(job_id=self._job_id))
            there = [one.attempt for one in found.attempts]
            if attempt not in there:
                raise Failure(
                    f"no attempt {attempt} of job {self._job_id}: {_has(there)}",
                    ErrorKind.NOT_FOUND,
                )


def _has(attempts: Sequence[int]) -> str:
    """Which attempts a job has, in a server's words."""
    if not attempts:
        return "it has not begun one yet"
    if len(attempts) == 1:
        return f"it has only attempt {attempts[0]}"
    return f"it has the attempts {attempts[0]} to {attempts[-1]}"
