"""`hodei job …`."""

import json
import sys
import uuid
from typing import Any

import click

from hodei.cli import show
from hodei.cli.client import connect
from hodei.cli.job_view import as_dict, attempt_dict, show_job, summary, took
from hodei.cli.log_json import chunk_dicts
from hodei.cli.spec_flags import read_file, spec_options, to_spec
from hodei.cli.submit import MOST_FILE, submit_file, submit_one


@click.group(
    epilog="""\b
Example:
  hodei job run --name hello --command "echo hello"
  hodei job run --script backup.sh --env DAY=monday --timeout 10m
  hodei job run -- tar czf /tmp/etc.tgz /etc"""
)
def job() -> None:
    """Run, submit, follow and cancel jobs."""


def job_id_argument(command: Any) -> Any:
    def check(_ctx: click.Context, _param: click.Parameter, text: str) -> str:
        try:
            return str(uuid.UUID(text))
        except ValueError:
            raise click.UsageError(f"ID: expected a UUID, got {text!r}") from None

    return click.argument("job_id", metavar="ID", callback=check)(command)


@job.command(
    epilog="""\b
Example:
  hodei job run --name "ETL" --correlation-id workflow-2026-01-31 --command "echo 'Step 1'" """
)
@spec_options
@click.option("--detach", is_flag=True, help="Print the id and do not wait.")
@click.option("--timestamps", is_flag=True, help="Prefix each line with when it was read.")
@click.pass_obj
def run(servers: str, flags: dict[str, Any], detach: bool, timestamps: bool) -> None:
    """Run a job and follow it: its output is this command's output, its exit code this command's.

    128+n for signal n (137 also when it ran out of memory), 124 after a time-out, 130 when
    cancelled, 1 when it could not run.
    """
    from hodei.cli.follow import follow_to_end, say

    spec = to_spec(flags)
    if detach:
        submit_one(servers, spec, click.echo)
        return
    submit_one(servers, spec, lambda job_id: say(f"Job queued successfully: {job_id}"))
    sys.exit(follow_to_end(servers, spec["id"], timestamps=timestamps))


@job.command(
    epilog="""\b
Example:
  JOB_ID=$(hodei job submit --name nightly --script backup.sh)
  hodei job submit --file specs.json"""
)
@spec_options
@click.option(
    "--file",
    "spec_file",
    metavar="FILE",
    help="Specs instead of flags: an object, a list, or a line each; - for stdin.",
)
@click.option(
    "--partial",
    is_flag=True,
    help="Submit what is right of a file; without it one wrong spec refuses them all.",
)
@click.option(
    "--ids-from", metavar="UUID", help="The first id of an earlier try: its jobs again, none twice."
)
@click.pass_obj
def submit(
    servers: str, flags: dict[str, Any], spec_file: str | None, partial: bool, ids_from: str | None
) -> None:
    """Queue jobs and print their ids. All or none of a file of up to 1,000 specs and 3 MB; a larger
    one goes in pieces of that.

    When a submit breaks off, the same command may be repeated: what stands already is not created
    again.
    """
    if spec_file is None:
        if partial or ids_from:
            raise click.UsageError("--partial and --ids-from: expected --file with them")
        submit_one(servers, to_spec(flags), click.echo)
        return
    if given := [key for key, value in flags.items() if value not in (None, ())]:
        name = (
            "-- ARGV"
            if given[0] == "argv"
            else f"--{given[0].replace('job_id', 'id').replace('_', '-')}"
        )
        raise click.UsageError(
            f"--file: expected specs alone, got {name} with it; write it into the specs"
        )
    data = read_file(spec_file, "--file", MOST_FILE)
    submit_file(servers, data, click.echo, partial=partial, ids_from=ids_from)


@job.command(name="list", epilog="\b\nExample:\n  hodei job list --state FAILED --limit 50")
@click.option("--state", help="PENDING, RUNNING, SUCCEEDED, FAILED or CANCELLED.")
@click.option("--reason", help="As TIMEOUT, WORKER_LOST.")
@click.option("--correlation-id", default="")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option("--before", default="", metavar="ID", help="The last job of the page before.")
@show.format_option
@click.pass_obj
def list_jobs(
    servers: str,
    state: str | None,
    reason: str | None,
    correlation_id: str,
    limit: int,
    before: str,
    output: str,
) -> None:
    """Newest first."""
    from hodei.protocol import hodei_pb2 as pb

    request = pb.ListJobsRequest(
        state=(state or "").upper(),
        reason=(reason or "").upper(),
        correlation_id=correlation_id,
        limit=limit,
        before_job_id=before,
    )
    found: list[Any] = []
    with connect(servers) as client:
        while True:  # a page may end before its limit, by its size
            answer = client.call(client.jobs.ListJobs, request)
            found += answer.jobs
            if not answer.next_before_job_id or len(found) >= limit:
                break
            request.before_job_id, request.limit = answer.next_before_job_id, limit - len(found)
    if output == "json":
        show.as_json(
            [{key: value for key, value in as_dict(one).items() if key != "spec"} for one in found]
        )
        return
    show.table(
        ["id", "name", "state", "reason", "attempts", "created", "took", "waits for"],
        [
            [
                one.job_id,
                one.name,
                one.state,
                one.reason,
                str(one.attempts),
                show.clock(one.created_unix_us),
                took(one),
                one.waiting_for,
            ]
            for one in found
        ],
        none="no jobs",
    )


@job.command(epilog="\b\nExample:\n  hodei job get 584a465b-d208-4a05-beef-8671b9bc2805")
@job_id_argument
@show.format_option
@click.pass_obj
def get(servers: str, job_id: str, output: str) -> None:
    """All about one job; why it waits, or why it ended as it did."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        show_job(client.call(client.jobs.GetJob, pb.JobRef(job_id=job_id)), output)


@job.command(epilog="\b\nExample:\n  hodei job logs -f 584a465b-d208-4a05-beef-8671b9bc2805")
@job_id_argument
@click.option("-f", "--follow", is_flag=True, help="Go on until the job has ended.")
@click.option("--timestamps", is_flag=True, help="Prefix each line with when it was read.")
@click.option("--attempt", type=int, metavar="N", help="Only of this attempt.")
@show.format_option
@click.pass_obj
def logs(
    servers: str, job_id: str, follow: bool, timestamps: bool, attempt: int | None, output: str
) -> None:
    """What a job wrote: its stdout on stdout, its stderr on stderr."""
    from hodei.cli.follow import messages, print_logs, say

    try:
        if output == "json":
            chunks = (
                chunk
                for message in messages(servers, job_id, follow=follow)
                for chunk in message.chunks
            )
            wanted = (c for c in chunks if attempt is None or c.attempt == attempt)
            show.as_json(list(chunk_dicts(wanted)))
        else:
            print_logs(servers, job_id, follow=follow, timestamps=timestamps, attempt=attempt)
    except KeyboardInterrupt:
        say(f"\nhodei: come back with: hodei job logs -f {job_id}")
        sys.exit(130)


@job.command(epilog="\b\nExample:\n  hodei job cancel 584a465b-d208-4a05-beef-8671b9bc2805")
@job_id_argument
@show.format_option
@click.pass_obj
def cancel(servers: str, job_id: str, output: str) -> None:
    """Stop a job: TERM to all its processes, KILL after its grace; a queued one at once."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        found = client.call(client.jobs.CancelJob, pb.CancelJobRequest(job_id=job_id))
    if output == "json":
        show.as_json(as_dict(found))
    else:
        click.echo(
            f"job {job_id} is {found.state}"
            if found.state == "CANCELLED"
            else f"cancel of job {job_id} requested"
        )


@job.command(epilog="\b\nExample:\n  hodei job retry 584a465b-d208-4a05-beef-8671b9bc2805")
@job_id_argument
@show.format_option
@click.pass_obj
def retry(servers: str, job_id: str, output: str) -> None:
    """Run an ended job again: a new job, which names the old one. Prints the new id."""
    from hodei.domain.ids import uuid7
    from hodei.protocol import hodei_pb2 as pb

    request = pb.RetryJobRequest(job_id=job_id, new_job_id=str(uuid7()))
    with connect(servers) as client:
        found = client.call(client.jobs.RetryJob, request)
    if output == "json":
        show.as_json(as_dict(found))
    else:
        click.echo(found.job_id)


@job.command(epilog="\b\nExample:\n  hodei job timeline 584a465b-d208-4a05-beef-8671b9bc2805")
@job_id_argument
@show.format_option
@click.pass_obj
def timeline(servers: str, job_id: str, output: str) -> None:
    """The events of a job, oldest first; of very many the last."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        answer = client.call(client.jobs.GetTimeline, pb.JobRef(job_id=job_id))
    events = answer.events
    if answer.left_out:
        click.echo(f"hodei: {answer.left_out} older events are not shown", err=True)
    if output == "json":
        keys = ("event_type", "aggregate_id", "actor", "correlation_id")
        show.as_json(
            [
                {
                    "occurred_at": show.instant(e.occurred_unix_us),
                    **{k: getattr(e, k) for k in keys},
                    "payload": json.loads(e.payload),
                }
                for e in events
            ]
        )
        return
    show.table(
        ["time", "event", "actor", "what"],
        [
            [
                (show.instant(e.occurred_unix_us) or "")[11:23],
                e.event_type,
                e.actor,
                summary(json.loads(e.payload)),
            ]
            for e in events
        ],
        none="no events",
    )


@job.command(epilog="\b\nExample:\n  hodei job attempts 584a465b-d208-4a05-beef-8671b9bc2805")
@job_id_argument
@show.format_option
@click.pass_obj
def attempts(servers: str, job_id: str, output: str) -> None:
    """Every attempt of a job: where, when, how it ended. Their logs are kept apart: `hodei job logs
    --attempt N`."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        answer = client.call(client.jobs.GetAttempts, pb.JobRef(job_id=job_id))
    found = [attempt_dict(one) for one in answer.attempts]
    if answer.more:
        click.echo("hodei: older attempts are not shown", err=True)
    if output == "json":
        show.as_json(found)
        return
    shown = (
        "attempt",
        "outcome",
        "reason",
        "exit_code",
        "started_at",
        "ended_at",
        "log_bytes",
        "worker_id",
    )
    show.table(
        shown,
        [[str(a[key] if a[key] is not None else "") for key in shown] for a in found],
        none="no attempts yet",
    )
