"""Following a job: its stdout on ours, its stderr and our own words on stderr, to the byte; over
reconnects, to its end."""

import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO

import click

from hodei.cli.client import connect, is_transient
from hodei.domain.text import shown

STDERR, NOTICE = 2, 3
AGAIN_S = 60.0
"""How long a follower looks for a server that answers."""


def say(words: str) -> None:
    """Our own words, apart from the job's."""
    click.echo(words, err=True)


class Printer:
    """Writes chunks of all attempts or of one, and says where the next attempt begins; with
    timestamps, a prefix at the start of each line of each stream, also where a line spans
    chunks."""

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
) -> Any:
    """All chunks, and with follow those to come; returns the final job, None without follow. A lost
    server is replaced by another."""
    printer = Printer(timestamps=timestamps, attempt=attempt)
    final = None
    for message in messages(servers, job_id, follow=follow):
        for chunk in message.chunks:
            printer.write(chunk)
        if message.HasField("job"):
            final = message.job
    return final


def messages(servers: str, job_id: str, *, follow: bool) -> Iterator[Any]:
    """Answers of ReadLogs, resumed at the cursor as often as a server goes away, until it has
    ended."""
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


def exit_code(job: Any) -> int:
    """The job's own code; 128 + n for signal n, 124 for a time-out, 130 when cancelled, 137 when
    the kernel killed it for want of memory, 1 for what kept it from running."""
    if job.state == "SUCCEEDED":
        return 0
    if job.state == "CANCELLED":
        return 130
    if code := {"TIMEOUT": 124, "OOM_KILLED": 137}.get(job.reason):
        return code
    if job.reason == "EXIT_NONZERO" and job.HasField("exit_code"):
        return int(job.exit_code)
    if job.reason == "SIGNALED" and job.HasField("signal"):
        return 128 + int(job.signal)
    return 1


def say_end(job: Any) -> None:
    """The last line: nothing of a job that succeeded and whose log is whole."""
    missing = ""
    if job.log_dropped_bytes:
        missing = f"; {job.log_dropped_bytes} bytes of its log were left out"
    elif job.attempts and not job.logs_complete:
        missing = "; its log is not complete"
    if job.state == "SUCCEEDED" and not missing:
        return
    because = shown(": ".join(filter(None, (job.reason, job.message))))
    say(f"hodei: job {job.job_id} {job.state}{f' ({because})' if because else ''}{missing}")


def follow_to_end(servers: str, job_id: str, *, timestamps: bool) -> int:
    """Returns the exit code for our own process. Ctrl-C leaves the job running and says how to come
    back."""
    try:
        job = print_logs(servers, job_id, follow=True, timestamps=timestamps)
    except KeyboardInterrupt:
        say(f"\nhodei: the job runs on; come back with: hodei job logs -f {job_id}")
        return 130
    say_end(job)
    return exit_code(job)
