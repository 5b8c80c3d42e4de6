"""The log of a job as servers send it, over as many servers as it takes."""

from collections.abc import Iterator
from typing import Any

from hodei.cli.client import Client
from hodei.cli.reconnecting import answers
from hodei.shapes import wire
from hodei.shapes.job import Job


class LogStream:
    """Reads a log once, from its beginning or from wherever the server went away."""

    def __init__(self, servers: str, job_id: str, *, follow: bool) -> None:
        self._servers = servers
        self._job_id = job_id
        self._follow = follow
        self._cursor = ""
        self.final: Job | None = None
        """The job as it ended, once all is read of a log that is followed."""

    def chunks(self) -> Iterator[Any]:
        """Yields the chunks of ReadLogs. ClickException: why not."""
        come_back = f"hodei job logs -f {self._job_id}"
        for message in answers(self._servers, self._ask, again=self._follow, come_back=come_back):
            yield from message.chunks
            if message.HasField("job"):
                self.final = wire.read(Job, message.job)

    def _ask(self, client: Client) -> Iterator[Any]:
        from hodei.protocol import hodei_pb2 as pb

        request = pb.ReadLogsRequest(job_id=self._job_id, follow=self._follow, cursor=self._cursor)
        for message in client.stream(client.jobs.ReadLogs, request):
            self._cursor = message.cursor
            yield message
