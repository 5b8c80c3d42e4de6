"""`hodei status`."""

import time
from collections.abc import Mapping, Sequence

import click

from hodei.cli import show
from hodei.cli.client import connect
from hodei.domain.job import JobState, Waiting
from hodei.domain.worker import WorkerState
from hodei.shapes import wire
from hodei.shapes.fleet import Status

WORKERS = (
    WorkerState.READY,
    WorkerState.BUSY,
    WorkerState.DRAINING,
    WorkerState.UNREACHABLE,
    WorkerState.REGISTERING,
    WorkerState.TERMINATED,
)
"""The states of workers, in the order in which they are shown."""

LONGEST_IPV4 = len("255.255.255.255:65535")
"""An address that is cut before its port names no server: others of its host look the same."""

SOON_S = 21 * 86_400.0
"""Seconds before its end from which on a certificate's end is told above the table of servers."""

CAUSES = {Waiting.RUN_AT: "for a later time", Waiting.BACKOFF: "in back-off"}


@click.command(epilog="\b\nExample:\n  hodei status\n  hodei status --format json")
@show.wide_option
@show.format_option
@click.pass_obj
def status(servers: str, output: str) -> None:
    """Jobs, queue, workers and servers at a glance.

    A ready job is unservable if no connected worker can take it: none has its labels, or those that
    have them are draining. The first 100,000 ready jobs are examined."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        now = wire.read(Status, client.call(client.fleet.GetStatus, pb.GetStatusRequest()))
        address = client.address
    if show.emit(output, now):
        return
    show.fields(
        [
            ("jobs", _counts(now.jobs, tuple(JobState))),
            ("queue", _queue(now)),
            ("oldest", _oldest(now)),
            ("workers", _counts(now.workers, WORKERS)),
            ("as root", _as_root(now)),
            ("slots", f"{now.slots_busy} of {now.slots} in use"),
            ("lost after", f"{now.lost_after_s:g} s of silence" if now.lost_after_s else ""),
            ("tokens", f"{now.tokens_usable} usable"),
            ("servers", f"{now.servers}; {address} answered, version {now.version}"),
            ("certificate", _first_to_expire(now)),
            ("no key", _without_key(now)),
            ("database", f"PostgreSQL {now.database}, schema {_schema(now)}"),
        ]
    )
    if now.unservable_sets:
        _tell_unservable(now)
    if now.listening:
        _tell_servers(now)


def _counts(counts: Mapping[str, int], order: Sequence[str]) -> str:
    return ", ".join(f"{counts[state]} {state}" for state in order if counts.get(state)) or "none"


def _schema(now: Status) -> str:
    revision = "" if now.schema_revision is None else f".{now.schema_revision}"
    return f"{now.schema_version}{revision}"


def _queue(now: Status) -> str:
    """Returns how much waits and why; jobs that cannot run are not among the ready ones."""
    servable = max(0, now.queued_ready - now.unservable)
    parts = [f"{servable} ready"]
    if now.unservable:
        unexamined = now.ready_examined < now.queued_ready
        parts.append(f"{'at least ' if unexamined else ''}{now.unservable} unservable")
    parts += [f"{now.waiting[c]} {words}" for c, words in CAUSES.items() if now.waiting.get(c)]
    if now.offered:
        parts.append(f"{now.offered} offered to workers")
    return ", ".join(parts)


def _oldest(now: Status) -> str:
    """Returns how long the oldest of the ready jobs has waited, without the unservable ones, which
    have a table of their own. A server of an older release does not tell them apart."""
    age = now.oldest_servable_s or (None if now.unservable else now.oldest_ready_s)
    return f"ready for {show.duration(age)}" if age else ""


def _as_root(now: Status) -> str:
    """Returns where jobs run as root; empty where none does."""
    number, names = now.root_workers, now.root_worker_names
    if not number:
        return ""
    more = f" and {number - len(names)} more" if number > len(names) else ""
    workers = show.counted(number, "worker")
    return f"jobs run as root on {workers}: {', '.join(names)}{more}"


def _first_to_expire(now: Status) -> str:
    """Returns when the first of the servers' certificates expires, if that is soon."""
    ends = [
        (s.certificate_expires_at, s.address) for s in now.listening if s.certificate_expires_at
    ]
    if not ends:
        return ""
    at, address = min(ends)
    left_s = at / 1e6 - time.time()
    if left_s > SOON_S:
        return ""
    when = f"expires in {show.duration(left_s)}" if left_s > 0 else f"expired {show.clock(at)}"
    return f"that of {address} {when}"


def _without_key(now: Status) -> str:
    """Returns what others may do without an API key; empty where that is nothing."""
    roles = {one.anonymous_role: one.address for one in now.listening if one.anonymous_role}
    return ", ".join(
        f"whoever reaches {address} has the role {role} (--anonymous-role)"
        for role, address in roles.items()
    )


def _tell_unservable(now: Status) -> None:
    click.echo()
    rows = [
        [
            str(one.jobs),
            "" if one.oldest_s is None else show.duration(one.oldest_s),
            "draining" if one.draining else "missing",
            " ".join(f"{key}={value}" for key, value in sorted(one.labels.items())) or "none",
        ]
        for one in now.unservable_sets
    ]
    columns = [
        show.Column("unservable"),
        show.Column("oldest", leaves=1),
        show.Column("workers"),
        show.Column("required labels", cut=True),
    ]
    show.table(columns, rows, none="")


def _tell_servers(now: Status) -> None:
    click.echo()
    with_tls = any(one.certificate_expires_at for one in now.listening)
    rows = [
        [
            show.short_id(one.server_id) or "unknown",
            one.address or "unknown",
            show.clock_cell(one.started_at) or "unknown",
            str(one.workers),
            *([show.clock(one.certificate_expires_at) or "no TLS"] if with_tls else []),
            "unknown" if one.lost_after_s is None else f"{one.lost_after_s:g} s",
            one.version or "older",
            one.host or "unknown",
        ]
        for one in now.listening
    ]
    columns = [
        show.Column("server"),
        show.Column("address", cut=True, least=LONGEST_IPV4),
        show.Column("since", leaves=1),
        show.Column("workers"),
        *([show.Column("certificate until", leaves=5)] if with_tls else []),
        show.Column("lost after", leaves=3),
        show.Column("version", leaves=2),
        show.Column("host", leaves=4, cut=True),
    ]
    show.table(columns, rows, none="")
