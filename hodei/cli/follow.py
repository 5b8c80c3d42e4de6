"""Following a job to its end: its output is ours, and so is its exit code."""

import contextlib
import threading
from collections.abc import Iterator

import click

from hodei.cli.client import connect
from hodei.cli.exit_codes import INTERRUPTED, exit_code
from hodei.cli.interrupts import (
    Stopped,
    another_follows,
    code_of,
    first_interrupt,
    interrupts_can_follow,
    stoppable,
)
from hodei.cli.log_output import Printer
from hodei.cli.log_stream import LogStream
from hodei.cli.say import say
from hodei.domain.job import JobState
from hodei.domain.text import shown
from hodei.shapes.job import Job


def say_end(job: Job) -> None:
    """Prints the last line. Of a job that succeeded and whose log is whole there is none."""
    missing = ""
    if job.log_dropped_bytes:
        missing = f"; {job.log_dropped_bytes} bytes of its log were left out"
    elif job.attempts and not job.logs_complete:
        missing = "; its log is not complete"
    if job.state == JobState.SUCCEEDED and not missing:
        return
    say(f"hodei: job {job.job_id} {ended_as(job)}{missing}")


def ended_as(job: Job) -> str:
    """A job's final state, with why: `FAILED (EXIT_NONZERO: exit code 3)`."""
    because = shown(": ".join(filter(None, (job.reason, job.message))))
    return f"{job.state} ({because})" if because else job.state


def follow_to_end(
    servers: str,
    job_id: str,
    *,
    timestamps: bool,
    cancel_on_interrupt: bool = False,
    quiet: bool = False,
) -> int:
    """Follows a job and returns the exit code for our own process. Ctrl-C leaves the job running
    and says how to come back, unless it is to cancel the job. `quiet`: why the job waits is not
    said."""
    cancel = _Cancel(servers, job_id)
    first = cancel.at_first_interrupt() if cancel_on_interrupt else contextlib.nullcontext()
    try:
        with stoppable(), first:
            job = _print_all(servers, job_id, timestamps=timestamps, quiet=quiet)
    except Stopped as stopped:
        say(f"hodei: ended by {stopped.name}; {runs_on(job_id)}")
        return stopped.exit_code
    except KeyboardInterrupt:
        return cancel.left() if cancel_on_interrupt else _interrupted(cancel, job_id)
    say_end(job)
    return INTERRUPTED if cancel.begun and job.state == JobState.CANCELLED else exit_code(job)


def _print_all(servers: str, job_id: str, *, timestamps: bool, quiet: bool) -> Job:
    printer = Printer(timestamps=timestamps)
    log = LogStream(servers, job_id, follow=True, tell_waiting=not quiet)
    for chunk in log.chunks():
        printer.write(chunk)
    assert log.final  # noqa: S101  else an error was raised
    return log.final


def runs_on(job_id: str) -> str:
    """Returns how to come back to a job that runs on, and how to cancel it."""
    return (
        f"the job runs on; come back with: hodei job logs -f {job_id}\n"
        f"hodei: cancel it with: hodei job cancel {job_id}"
    )


def _interrupted(cancel: "_Cancel", job_id: str) -> int:
    if not interrupts_can_follow():
        say(f"\nhodei: {runs_on(job_id)}")
        return INTERRUPTED
    say(f"\nhodei: {runs_on(job_id)}, or by another Ctrl-C within 2 s")
    try:
        if another_follows():
            cancel.run()
    except KeyboardInterrupt as interrupt:
        say("hodei: interrupted before a server has answered: the job may not be cancelled")
        return code_of(interrupt)
    return INTERRUPTED


class _Cancel:
    """Asks for the end of a job, at most once."""

    def __init__(self, servers: str, job_id: str) -> None:
        self._servers = servers
        self._job_id = job_id
        self._over = threading.Event()
        self._call = click.get_current_context()  # a thread has none of its own
        self.begun = False

    @contextlib.contextmanager
    def at_first_interrupt(self) -> Iterator[None]:
        """Asks at the first Ctrl-C, in a thread, so that the job's output goes on meanwhile; then
        waits a moment until a server has taken the request.

        The thread waits from the beginning: a signal may come while the main thread starts another
        one or writes, so that its handler may do neither."""
        thread = threading.Thread(target=self._run_if_begun, daemon=True)
        thread.start()
        try:
            with first_interrupt(self._begin):
                yield
        finally:
            self._over.set()
            thread.join(timeout=1.0)

    def _begin(self) -> None:
        self.begun = True
        self._over.set()

    def _run_if_begun(self) -> None:
        self._over.wait()
        if self.begun:
            with self._call.scope(cleanup=False):
                self.run()

    def run(self) -> None:
        """Asks, and says what became of it."""
        from hodei.protocol import hodei_pb2 as pb

        say(f"\nhodei: cancelling job {self._job_id}; Ctrl-C again leaves it")
        try:
            with connect(self._servers) as client:
                client.call(client.jobs.CancelJob, pb.CancelJobRequest(job_id=self._job_id))
        except click.ClickException as error:
            say(f"hodei: the job is not cancelled: {shown(error.message)}")
        else:
            say(f"hodei: cancel of job {self._job_id} requested")

    def left(self) -> int:
        """Says that the job may still run, as the user does not wait for its end. Returns the exit
        code."""
        say(f"\nhodei: the job may still run; look with: hodei job get {self._job_id}")
        return INTERRUPTED
