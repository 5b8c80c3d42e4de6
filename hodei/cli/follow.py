"""Following a job to its end: its output is ours, and so is its exit code."""

import threading

import click

from hodei.cli.client import connect
from hodei.cli.exit_codes import INTERRUPTED, exit_code
from hodei.cli.interrupts import Stopped, another_follows, code_of, first_interrupt, stoppable
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
    servers: str, job_id: str, *, timestamps: bool, cancel_on_interrupt: bool = False
) -> int:
    """Follows a job and returns the exit code for our own process. Ctrl-C leaves the job running
    and says how to come back, unless it is to cancel the job."""
    cancel = _Cancel(servers, job_id)
    try:
        with stoppable():
            if cancel_on_interrupt:
                with first_interrupt(cancel.begin):
                    job = _print_all(servers, job_id, timestamps=timestamps)
            else:
                job = _print_all(servers, job_id, timestamps=timestamps)
    except Stopped as stopped:
        say(f"hodei: ended by {stopped.name}; {runs_on(job_id)}")
        return stopped.exit_code
    except KeyboardInterrupt:
        return cancel.left() if cancel_on_interrupt else _interrupted(cancel, job_id)
    finally:
        cancel.join()
    say_end(job)
    return INTERRUPTED if cancel.begun and job.state == JobState.CANCELLED else exit_code(job)


def _print_all(servers: str, job_id: str, *, timestamps: bool) -> Job:
    printer = Printer(timestamps=timestamps)
    log = LogStream(servers, job_id, follow=True)
    for chunk in log.chunks():
        printer.write(chunk)
    assert log.final  # noqa: S101  a call that follows ends with the job
    return log.final


def runs_on(job_id: str) -> str:
    """What whoever leaves a job needs to know."""
    return (
        f"the job runs on; come back with: hodei job logs -f {job_id}\n"
        f"hodei: cancel it with: hodei job cancel {job_id}"
    )


def _interrupted(cancel: "_Cancel", job_id: str) -> int:
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
        self._thread = threading.Thread(target=self.run, daemon=True)
        self.begun = False

    def begin(self) -> None:
        """Asks in a thread, so that the job's output goes on meanwhile."""
        self.begun = True
        self._thread.start()  # which also speaks: the signal may have come in the middle of a write

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
        """The exit code of who does not wait for the end of what is being cancelled."""
        say(f"\nhodei: the job may still run; look with: hodei job get {self._job_id}")
        return INTERRUPTED

    def join(self) -> None:
        """Waits until a server has taken the request, at most a moment."""
        if self.begun:
            self._thread.join(timeout=1.0)
