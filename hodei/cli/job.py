"""`hodei job …`."""

import json
import sys
import uuid
from typing import Any

import click

from hodei.cli import show
from hodei.cli.client import Client, connect
from hodei.cli.spec_flags import read_file, spec_options, to_spec


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


def submit_specs(client: Client, specs: list[dict[str, Any]]) -> list[str]:
    """The ids. What a server refuses ends the command; what it took of the same call is named first."""
    from hodei.protocol import hodei_pb2 as pb

    ids: list[str] = []
    for start in range(0, len(specs), 500):
        texts = [json.dumps(spec, ensure_ascii=False) for spec in specs[start : start + 500]]
        answer = client.call(client.jobs.CreateJobs, pb.CreateJobsRequest(specs=texts))
        for number, entry in enumerate(answer.entries, start):
            if entry.error:
                for job_id in ids:
                    click.echo(job_id)
                raise click.ClickException(entry.error if len(specs) == 1 else f"spec {number + 1}: {entry.error}")
            ids.append(entry.job_id)
    return ids


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

    128+n for signal n, 124 after a time-out, 130 when cancelled, 1 when it could not run.
    """
    from hodei.cli.follow import follow_to_end, say

    spec = to_spec(flags)
    with connect(servers) as client:
        (job_id,) = submit_specs(client, [spec])
        if detach:
            click.echo(job_id)
            return
        say(f"Job queued successfully: {job_id}")
        code = follow_to_end(client, servers, job_id, timestamps=timestamps)
    sys.exit(code)


@job.command(
    epilog="""\b
Example:
  JOB_ID=$(hodei job submit --name nightly --script backup.sh)
  hodei job submit --file specs.json"""
)
@spec_options
@click.option("--file", "spec_file", metavar="FILE", help="Specs instead of flags: an object, a list, or a line each; - for stdin.")
@click.pass_obj
def submit(servers: str, flags: dict[str, Any], spec_file: str | None) -> None:
    """Queue a job and print its id."""
    specs = specs_of(read_file(spec_file, "--file")) if spec_file else [to_spec(flags)]
    with connect(servers) as client:
        for job_id in submit_specs(client, specs):
            click.echo(job_id)


def specs_of(data: bytes) -> list[dict[str, Any]]:
    """An object, a list of them, or one on each line; an id is made for each that has none."""
    from hodei.domain.ids import uuid7

    try:
        text = data.decode()
        try:
            value = json.loads(text)
        except ValueError:
            value = [json.loads(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise click.UsageError(f"--file: expected JSON, got text that does not parse: {error}") from error
    specs = value if isinstance(value, list) else [value]
    if not specs or not all(isinstance(spec, dict) for spec in specs):
        raise click.UsageError("--file: expected a JSON object for each job")
    return [{"id": str(uuid7()), **spec} for spec in specs]


@job.command(name="list", epilog="\b\nExample:\n  hodei job list --state FAILED --limit 50")
@click.option("--state", help="PENDING, RUNNING, SUCCEEDED, FAILED or CANCELLED.")
@click.option("--reason", help="As TIMEOUT, WORKER_LOST.")
@click.option("--correlation-id", default="")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000))
@click.option("--before", default="", metavar="ID", help="The last job of the page before.")
@show.format_option
@click.pass_obj
def list_jobs(servers: str, state: str | None, reason: str | None, correlation_id: str, limit: int, before: str, output: str) -> None:
    """Newest first."""
    from hodei.protocol import hodei_pb2 as pb

    request = pb.ListJobsRequest(
        state=(state or "").upper(), reason=(reason or "").upper(), correlation_id=correlation_id, limit=limit, before_job_id=before
    )
    with connect(servers) as client:
        found = client.call(client.jobs.ListJobs, request).jobs
    if output == "json":
        show.as_json([as_dict(one) for one in found])
        return
    show.table(
        ["id", "name", "state", "reason", "attempts", "created", "took", "waits for"],
        [
            [one.job_id, one.name, one.state, one.reason, str(one.attempts), show.clock(one.created_unix_us), took(one), one.waiting_for]
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
def logs(servers: str, job_id: str, follow: bool, timestamps: bool, attempt: int | None, output: str) -> None:
    """What a job wrote: its stdout on stdout, its stderr on stderr."""
    from hodei.cli.follow import messages, print_logs, say

    try:
        if output == "json":
            chunks = (chunk for message in messages(servers, job_id, follow=follow) for chunk in message.chunks)
            show.as_json([chunk_dict(c) for c in chunks if attempt is None or c.attempt == attempt])
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
        click.echo(f"job {job_id} is {found.state}" if found.state == "CANCELLED" else f"cancel of job {job_id} requested")


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
    """Every event of a job, oldest first."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        events = client.call(client.jobs.GetTimeline, pb.JobRef(job_id=job_id)).events
    if output == "json":
        keys = ("event_type", "aggregate_id", "actor", "correlation_id")
        show.as_json(
            [
                {"occurred_at": show.instant(e.occurred_unix_us), **{k: getattr(e, k) for k in keys}, "payload": json.loads(e.payload)}
                for e in events
            ]
        )
        return
    show.table(
        ["time", "event", "actor", "what"],
        [[(show.instant(e.occurred_unix_us) or "")[11:23], e.event_type, e.actor, summary(json.loads(e.payload))] for e in events],
        none="no events",
    )


@job.command(epilog="\b\nExample:\n  hodei job attempts 584a465b-d208-4a05-beef-8671b9bc2805")
@job_id_argument
@show.format_option
@click.pass_obj
def attempts(servers: str, job_id: str, output: str) -> None:
    """Every attempt of a job: where, when, how it ended. Their logs are kept apart: `hodei job logs --attempt N`."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        found = [attempt_dict(a) for a in client.call(client.jobs.GetAttempts, pb.JobRef(job_id=job_id)).attempts]
    if output == "json":
        show.as_json(found)
        return
    shown = ("attempt", "outcome", "reason", "exit_code", "started_at", "ended_at", "log_bytes", "worker_id")
    show.table(shown, [[str(a[key] if a[key] is not None else "") for key in shown] for a in found], none="no attempts yet")


def attempt_dict(one: Any) -> dict[str, Any]:
    return {
        **{key: getattr(one, key) for key in ("attempt", "lease", "worker_id", "log_bytes")},
        "outcome": one.outcome or "RUNNING",
        "reason": one.reason or None,
        "exit_code": one.exit_code if one.HasField("exit_code") else None,
        "signal": one.signal if one.HasField("signal") else None,
        "started_at": show.instant(one.started_unix_us),
        "ended_at": show.instant(one.ended_unix_us),
    }


def summary(payload: dict[str, Any]) -> str:
    parts = []
    if "new_state" in payload:
        parts.append(f"{payload['old_state']} → {payload['new_state']}" if "old_state" in payload else payload["new_state"])
    shown = ("reason", "exit_code", "signal", "attempt", "lease", "worker_id")
    parts += [f"{key}={payload[key]}" for key in shown if payload.get(key) is not None]
    return " ".join(parts)


def took(one: Any) -> str:
    """Of the last attempt; what runs still has no end."""
    if one.started_unix_us and one.completed_unix_us:
        return show.duration((one.completed_unix_us - one.started_unix_us) / 1e6)
    return ""


TIMES = ("created", "updated", "run_at", "started", "completed")


def as_dict(one: Any) -> dict[str, Any]:
    plain = (
        "job_id", "name", "state", "reason", "message", "attempts", "priority", "correlation_id", "actor", "worker_id",
        "peak_memory_bytes", "cpu_s", "log_bytes", "logs_complete", "cancel_requested", "cancel", "waiting_for", "leftover_processes",
        "retry_of",
    )  # fmt: skip
    return {
        **{key: getattr(one, key) for key in plain},
        "exit_code": one.exit_code if one.HasField("exit_code") else None,
        "signal": one.signal if one.HasField("signal") else None,
        **{f"{key}_at".replace("run_at_at", "run_at"): show.instant(getattr(one, f"{key}_unix_us")) for key in TIMES},
        "spec": json.loads(one.spec),
    }


def chunk_dict(chunk: Any) -> dict[str, Any]:
    return {
        "stream": {1: "stdout", 2: "stderr", 3: "notice"}[chunk.stream], "attempt": chunk.attempt, "byte_offset": chunk.byte_offset,
        "first_line": chunk.first_line, "read_at": show.instant(chunk.read_unix_us), "late": chunk.late,
        "text": chunk.data.decode(errors="replace"),
    }  # fmt: skip


def show_job(one: Any, output: str) -> None:
    if output == "json":
        show.as_json(as_dict(one))
        return
    ended = one.state in ("SUCCEEDED", "FAILED", "CANCELLED")
    command = json.loads(one.spec)["command"]
    show.fields(
        [
            ("id", one.job_id),
            ("name", one.name),
            ("state", one.state),
            ("waits for", one.waiting_for),
            ("reason", one.reason),
            ("message", one.message),
            ("exit code", str(one.exit_code) if one.HasField("exit_code") else ""),
            ("signal", str(one.signal) if one.HasField("signal") else ""),
            ("cancel", one.cancel),
            ("command", command if isinstance(command, str) else " ".join(command)),
            ("attempts", str(one.attempts)),
            ("priority", str(one.priority)),
            ("correlation id", one.correlation_id),
            ("actor", one.actor),
            ("repeats", one.retry_of),
            ("worker", one.worker_id),
            ("created", show.instant(one.created_unix_us) or ""),
            ("not before", show.instant(one.run_at_unix_us) or ""),
            ("started", show.instant(one.started_unix_us) or ""),
            ("completed", show.instant(one.completed_unix_us) or ""),
            ("took", took(one)),
            ("memory", show.size(one.peak_memory_bytes) if one.peak_memory_bytes else ""),
            ("CPU time", show.duration(one.cpu_s) if one.cpu_s else ""),
            ("log", f"{show.size(one.log_bytes)}{'' if one.logs_complete or not ended else ', incomplete'}" if one.attempts else ""),
            ("left over", f"{one.leftover_processes} processes, killed" if one.leftover_processes else ""),
        ]
    )
