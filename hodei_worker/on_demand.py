"""What a server asks of a worker that it makes on demand: to be known by a given id, and to end after
some jobs."""

import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from hodei_worker import identity
from hodei_worker.config import BadSetting

MOST_JOBS = 1_000_000_000

OPTIONS = (
    click.option(
        "--worker-id",
        envvar="HODEI_WORKER_ID",
        metavar="UUID",
        help="The id of a new worker, for a token that only this one may redeem.",
    ),
    click.option(
        "--max-jobs",
        envvar="HODEI_MAX_JOBS",
        default=0,
        show_default=True,
        type=click.IntRange(0, MOST_JOBS),
        help="End after this number of jobs; 0: no limit.",
    ),
)


def on_demand_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def begin(state_dir: Path, worker_id: str | None) -> None:
    """Makes the identity of a new worker with this id; an identity that is kept stays. BadSetting:
    it is no UUID, or the folder cannot be written."""
    if worker_id is None:
        return
    try:
        wanted = uuid.UUID(worker_id)
    except ValueError:
        wanted = uuid.UUID(int=0)
    if wanted.int == 0:
        raise BadSetting(f"--worker-id: expected a UUID, got {worker_id[:80]!r}")
    if not identity.is_kept(state_dir):
        identity.keep(state_dir, replace(identity.new(), worker_id=str(wanted)))
