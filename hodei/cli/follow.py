"""Following a job to its end, over reconnects: its stdout goes to ours to the byte, its stderr and
our own words go to stderr."""

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO

import click

from hodei.cli.client import connect, is_transient
from hodei.domain.job import JobState, Reason
from hodei.domain.text import shown
from hodei.shapes import wire
from hodei.shapes.job import Job

STDERR, NOTICE = 2, 3
AGAIN_S = 60.0
"""Seconds for which a follower looks for a server that answers."""


def say(words: str) -> None:
    """Prints words of our own, apart from the job's output."""
    click.echo(words, err=True)


class Printer:
    """Writes chunks of all attempts or of one, and says where the next attempt begins. With
    `timestamps` each line of each stream has a prefix, also a line that spans chunks."""

    def __init__(self, *, timestamps: bool, attempt: int | None) -> None:
        self._timestamps = timestamps
        self._at_line_start = {1: True, 2: True}
        self._attempt = attempt
        self._lease = 0

    def write(self, chunk: Any) -> None:
        if self._attempt is not None and chunk.attempt != self._attempt:
            return
        if self._lease and chunk.lease != self._lease:
            say(
                f"hodei: attempt {chunk.attempt}{' (late: it had been given up)' if chunk.late else ''}"
            )
        self._lease = chunk.lease
        if chunk.stream == NOTICE:
            say(f"hodei: {shown(chunk.data.decode(errors='replace').rstrip())}")
            return
        out: BinaryIO = sys.stderr.buffer if chunk.stream == STDERR else sys.stdout.buffer
        out.write(self._stamped(chunk) if self._timestamps else chunk.data)
        out.flush()

    def _stamped(self, chunk: Any) -> bytes:
        stamp = (
            datetime.fromtimestamp(chunk.read_unix_us / 1e6, UTC)
            .strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
            .encode()
            + b"Z "
        )
        starts = self._at_line_start[chunk.stream]
        ends = chunk.data.endswith(b"\n")
        self._at_line_start[chunk.stream] = ends
        body: bytes = chunk.data[:-1] if ends else chunk.data
        return (
            (stamp if starts else b"")
            + body.replace(b"\n", b"\n" + stamp)
            + (b"\n" if ends else b"")
        )


def print_logs(
    servers: str, job_id: str, *, follow: bool, timestamps: bool, attempt: int | None = None
) -> Job | None:
    """Prints all chunks, and with `follow` those to come. Returns the final job, None without
    `follow`."""
    printer = Printer(timestamps=timestamps, attempt=attempt)
    final = None
    for message in messages(servers, job_id, follow=follow):
        for chunk in message.chunks:
            printer.write(chunk)
        if message.HasField("job"):
            final = wire.read(Job, message.job)
    return final


def messages(servers: str, job_id: str, *, follow: bool) -> Iterator[Any]:
    """Yields the answers of ReadLogs until it has ended. As often as a server goes away, another one
    is asked to go on at the cursor."""
    import grpc

    from hodei.protocol import hodei_pb2 as pb

    cursor, deadline, told = "", 0.0, False
    while True:
        try:
            with connect(servers) as client:
                try:
                    for message in client.stream(
                        client.jobs.ReadLogs,
                        pb.ReadLogsRequest(job_id=job_id, follow=follow, cursor=cursor),
                    ):
                        cursor, deadline, told = message.cursor, 0.0, False
                        yield message
                except grpc.RpcError as error:
                    if not follow or not is_transient(error):
                        raise
                else:
                    return
        except click.ClickException:
            if not deadline or not follow:
                raise
        deadline = deadline or time.monotonic() + AGAIN_S
        if time.monotonic() > deadline:
            raise click.ClickException(
                f"no server has answered for {AGAIN_S:g} s; go on with: hodei job logs -f {job_id}"
            )
        if not told:
            say("hodei: the server went away; looking for one that answers")
            told = True
        time.sleep(0.3)


CODES: dict[str, int] = {
    JobState.SUCCEEDED: 0,
    JobState.CANCELLED: 130,
    Reason.TIMEOUT: 124,
    Reason.OOM_KILLED: 137,
}
"""Exit codes of `hodei job run` for a job's state, or else for its reason."""


def exit_code(job: Job) -> int:
    """The exit code of a command that ran a job: the job's own code, 128 + n for signal n, one of
    CODES, or 1 for what kept the job from running."""
    if (code := CODES.get(job.state, CODES.get(job.reason or ""))) is not None:
        return code
    if job.reason == Reason.EXIT_NONZERO and job.exit_code is not None:
        return job.exit_code
    if job.reason == Reason.SIGNALED and job.signal is not None:
        return 128 + job.signal
    return 1


def say_end(job: Job) -> None:
    """Prints the last line. Of a job that succeeded and whose log is whole there is none."""
    missing = ""
    if job.log_dropped_bytes:
        missing = f"; {job.log_dropped_bytes} bytes of its log were left out"
    elif job.attempts and not job.logs_complete:
        missing = "; its log is not complete"
    if job.state == JobState.SUCCEEDED and not missing:
        return
    because = shown(": ".join(filter(None, (job.reason, job.message))))
    say(f"hodei: job {job.job_id} {job.state}{f' ({because})' if because else ''}{missing}")


def follow_to_end(servers: str, job_id: str, *, timestamps: bool) -> int:
    """Follows a job and returns the exit code for our own process. Ctrl-C leaves the job running
    and says how to come back."""
    try:
        job = print_logs(servers, job_id, follow=True, timestamps=timestamps)
    except KeyboardInterrupt:
        say(f"\nhodei: the job runs on; come back with: hodei job logs -f {job_id}")
        return 130
    assert job  # noqa: S101  a call that follows ends with the job
    say_end(job)
    return exit_code(job)
