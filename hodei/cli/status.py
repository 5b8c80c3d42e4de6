"""`hodei status`."""

from collections.abc import Sequence

import click

from hodei.cli import show
from hodei.cli.client import connect


@click.command(epilog="\b\nExample:\n  hodei status --format json")
@show.format_option
@click.pass_obj
def status(servers: str, output: str) -> None:
    """Jobs, queue, workers and servers at a glance."""
    from hodei.protocol import hodei_pb2 as pb

    with connect(servers) as client:
        now = client.call(client.fleet.GetStatus, pb.GetStatusRequest())
        address = client.address
    if output == "json":
        plain = (
            "queued",
            "queued_ready",
            "oldest_ready_s",
            "slots",
            "slots_busy",
            "tokens_usable",
            "servers",
            "version",
        )
        show.as_json(
            {
                "jobs": dict(now.jobs),
                "workers": dict(now.workers),
                **{key: getattr(now, key) for key in plain},
                "schema_version": now.schema_version,
                "database": now.database,
                "root_workers": now.root_workers,
                "root_worker_names": list(now.root_worker_names),
            }
        )
        return
    oldest = (
        f", the oldest ready for {show.duration(now.oldest_ready_s)}" if now.queued_ready else ""
    )
    show.fields(
        [
            (
                "jobs",
                _counts(dict(now.jobs), ("PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED")),
            ),
            ("queue", f"{now.queued} waiting, {now.queued_ready} of them ready{oldest}"),
            (
                "workers",
                _counts(
                    dict(now.workers),
                    ("READY", "BUSY", "DRAINING", "UNREACHABLE", "REGISTERING", "TERMINATED"),
                ),
            ),
            ("as root", _as_root(now.root_workers, now.root_worker_names)),
            ("slots", f"{now.slots_busy} of {now.slots} taken"),
            ("tokens", f"{now.tokens_usable} usable"),
            ("servers", f"{now.servers}; {address} answered, version {now.version}"),
            ("database", f"PostgreSQL {now.database}, schema {now.schema_version}"),
        ]
    )


def _as_root(number: int, names: Sequence[str]) -> str:
    """Nothing where no job runs as root."""
    if not number:
        return ""
    more = f" and {number - len(names)} more" if number > len(names) else ""
    workers = "1 worker" if number == 1 else f"{number} workers"
    return f"jobs run as root on {workers}: {', '.join(names)}{more}"


def _counts(counts: dict[str, int], order: tuple[str, ...]) -> str:
    return ", ".join(f"{counts[state]} {state}" for state in order if counts.get(state)) or "none"
