"""What `hodei worker get` prints for people."""

import click

from hodei.cli import show
from hodei.cli.worker_list import jobs_run_as
from hodei.domain.worker import WorkerState
from hodei.shapes.fleet import Lacking, WorkerDetails

UNKNOWN = "unknown"
"""Shown for what a worker of an older release does not say."""

ON_WORKER_EXIT = {
    "keep": "running jobs go on, and the next worker with its state folder adopts them",
    "kill": "running jobs are stopped",
}
RUNS = {"process": "processes", "docker": "containers", "secrets": "jobs with secrets"}
"""By the words of a worker's capabilities; those for its server alone are left out."""

ON_DISCONNECT = {"keep": "running jobs go on", "stop": "running jobs are stopped"}


def tell(one: WorkerDetails) -> None:
    """Prints fields, then its jobs, then what it lacks."""
    show.fields([*_what_it_is(one), *_settings(one), *_times(one), ("new jobs", _new_jobs(one))])
    if one.jobs:
        click.echo()
        _tell_jobs(one)
    if one.lacking:
        click.echo()
        click.echo("Ready jobs require labels that it does not have (of the first 1,000):")
        show.table(
            [show.Column("jobs"), show.Column("lacks", cut=True)],
            [[str(entry.jobs), _labels(entry)] for entry in one.lacking],
            none="",
        )


def _what_it_is(one: WorkerDetails) -> list[tuple[str, str]]:
    return [
        ("name", one.name),
        ("id", one.worker_id),
        ("state", one.state),
        ("revoked", "yes: its credential is not valid any more" if one.revoked else ""),
        ("host", one.host or UNKNOWN),
        ("system", one.system or UNKNOWN),
        ("hardware", _hardware(one)),
        ("version", one.version or UNKNOWN),
        ("python", one.python or UNKNOWN),
    ]


def _hardware(one: WorkerDetails) -> str:
    cpus = "" if one.cpus is None else f"{one.cpus} CPU{'' if one.cpus == 1 else 's'}"
    memory = "" if one.memory_bytes is None else f"{show.size(one.memory_bytes)} of memory"
    return ", ".join(filter(None, (cpus, memory))) or UNKNOWN


def _settings(one: WorkerDetails) -> list[tuple[str, str]]:
    exit_word, lost_word = one.on_worker_exit or UNKNOWN, one.on_disconnect or UNKNOWN
    return [
        ("slots", f"{one.busy_slots} of {one.slots} in use"),
        ("jobs run as", jobs_run_as(one)),
        ("labels", " ".join(f"{key}={value}" for key, value in sorted(one.labels.items()))),
        ("projects", " ".join(one.projects)),
        ("runs", _runs(one)),
        ("log limit", _log_limit(one)),
        ("when stopped", ON_WORKER_EXIT.get(exit_word, exit_word)),
        ("when lost", ON_DISCONNECT.get(lost_word, lost_word)),
        ("drains for", UNKNOWN if one.drain_timeout_s is None else f"{one.drain_timeout_s:g} s"),
    ]


def _runs(one: WorkerDetails) -> str:
    """What it runs now. JSON has all words of the worker."""
    if not one.capabilities:
        return UNKNOWN
    return ", ".join(words for word, words in RUNS.items() if word in one.capabilities) or "nothing"


def _log_limit(one: WorkerDetails) -> str:
    if one.log_limit_bytes is None:
        return UNKNOWN
    return f"{show.size(one.log_limit_bytes)} of each attempt" if one.log_limit_bytes else "none"


def _times(one: WorkerDetails) -> list[tuple[str, str]]:
    age = one.heartbeat_age_s
    drained = show.clock(one.drained_at) or UNKNOWN if one.draining else ""
    here = one.state in (WorkerState.READY, WorkerState.BUSY, WorkerState.DRAINING)
    return [
        ("registered", show.clock(one.registered_at)),
        ("credential", _credential(one)),
        ("connected", show.clock(one.connected_at) or (UNKNOWN if here else "never")),
        ("server", show.short_id(one.server_id)),
        ("heartbeat", "never" if age is None else f"{show.duration(age)} ago"),
        ("drained", f"{drained} by {one.drained_by or UNKNOWN}" if drained else ""),
    ]


def _credential(one: WorkerDetails) -> str:
    """How old it is, and when it is renewed; empty: it is revoked, or a server of an older release
    does not say it."""
    age_s, since, renews = one.credential_age_s, one.credential_since_at, one.credential_renews_at
    if age_s is None or since is None or renews is None:
        return ""
    left_s = (renews - since) / 1e6 - age_s
    when = f"to be renewed in {show.duration(left_s)}" if left_s > 0 else "to be renewed now"
    return f"{show.duration(age_s)} old, {when}"


def _new_jobs(one: WorkerDetails) -> str:
    """Whether it gets new jobs now, and if not why."""
    if one.revoked:
        return "no: it is revoked; its host can register as a new worker"
    if one.state == WorkerState.DRAINING:
        return "no: it is draining" if one.draining else "no: it is stopping"
    if one.state == WorkerState.BUSY:
        return "when a slot becomes free"
    if one.state == WorkerState.READY:
        return "yes"
    return f"no: it is {one.state}"


def _tell_jobs(one: WorkerDetails) -> None:
    if one.jobs_in_all > len(one.jobs):
        click.echo(f"Its jobs, the first {len(one.jobs)} of {one.jobs_in_all}:")
    show.table(
        [
            show.Column("job"),
            show.Column("state"),
            show.Column("since"),
            show.Column("name", cut=True),
        ],
        [
            [show.short_id(job.job_id), job.state, show.clock_cell(job.since_at), job.name]
            for job in one.jobs
        ],
        none="",
    )
    if one.other_jobs:
        what = show.counted(one.other_jobs, "job")
        click.echo(f"and {what} of projects that your API key does not reach")


def _labels(entry: Lacking) -> str:
    words = " ".join(f"{key}={value}" for key, value in sorted(entry.labels.items()))
    return words or "labels that are too long to show"
