"""Ends of jobs as servers send them, over as many servers as it takes."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

from hodei.cli.client import Client
from hodei.cli.errors import Failure
from hodei.cli.reconnecting import answers
from hodei.cli.say import say
from hodei.cli.show import short_id
from hodei.cli.waits import waits_for
from hodei.domain.job import FINAL
from hodei.domain.text import shown
from hodei.shapes import wire
from hodei.shapes.error import ErrorKind
from hodei.shapes.job import Job

ASK_EVERY_S, ROUND_S = 0.1, 1.0
"""Seconds between two questions to a server of an older release, which cannot wait for jobs, and
between two questions for the same job."""


class EndStream:
    """Waits for jobs: for all of them, or for one."""

    def __init__(self, servers: str, job_ids: Sequence[str], *, any_one: bool) -> None:
        self._servers = servers
        self._any_one = any_one
        self._told = ""
        self._found = False  # a server knows all of the jobs
        self.left = dict.fromkeys(job_ids)
        """The jobs whose end is not known yet."""

    def jobs(self) -> Iterator[Job]:
        """Yields each job as it has ended; while it waits it says on stderr why a job does.
        ClickException: a job is unknown, or no server answers."""
        come_back = "the same command"
        ended = False
        for answer in answers(self._servers, self._ask, again=True, come_back=come_back):
            self._found = True
            ended = ended or bool(answer.ended)
            for one in answer.ended:
                self.left.pop(one.job_id, None)
                yield wire.read(Job, one)
            for job_id in answer.deleted_job_ids:
                self.left.pop(job_id, None)
                say(f"hodei: job {job_id} has been deleted meanwhile: its end is not known")
            if answer.waiting_for:
                self._tell(answer.waiting_job_id, answer.waiting_for)
        if self.left and not (self._any_one and ended):
            raise Failure(
                f"the server has told no end of job {next(iter(self.left))}", ErrorKind.INTERNAL
            )

    def _tell(self, job_id: str, waiting_for: str) -> None:
        words = f"hodei: job {short_id(job_id)} waits for {shown(waits_for(waiting_for))}"
        if words != self._told:  # another server says the same again
            say(words)
            self._told = words

    def _ask(self, client: Client) -> Iterator[Any]:
        import grpc

        from hodei.protocol import hodei_pb2 as pb

        request = pb.WaitJobsRequest(
            job_ids=self.left, any=self._any_one, tell_waiting=True, goes_on=self._found
        )
        try:
            yield from client.stream(client.jobs.WaitJobs, request)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNIMPLEMENTED:
                raise
            say(
                f"hodei: the server at {shown(client.address)} is of an older release, which "
                "cannot wait for jobs: it is asked for each of them again and again"
            )
            yield from self._asked_one_by_one(client)

    def _asked_one_by_one(self, client: Client) -> Iterator[Any]:
        from hodei.protocol import hodei_pb2 as pb

        while self.left:
            begun = time.monotonic()
            for job_id in list(self.left):
                job = client.call(client.jobs.GetJob, pb.JobRef(job_id=job_id))
                if job.state in FINAL:
                    job.ClearField("spec")
                    yield pb.WaitJobsResponse(ended=[job])
                    if self._any_one:
                        return
                time.sleep(ASK_EVERY_S)
            time.sleep(max(0.0, begun + ROUND_S - time.monotonic()))
