"""`hodei completion`, and what a shell offers for a word that is being typed: ids of recent jobs,
states, reasons, workers and labels.

A shell waits for the answer while somebody types: a server is asked for half a second at most, and
whatever fails offers nothing and says nothing.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem, get_completion_class

from hodei.cli.client import Client, connect
from hodei.cli.show.values import SHORT_ID
from hodei.domain.event import KINDS
from hodei.domain.job import JobState, Reason
from hodei.domain.text import shown
from hodei.domain.worker import WorkerState

T = TypeVar("T")

ASK_S = 0.5
"""Seconds for which a shell waits for a server, and once more for its answer."""

MOST = 200
"""Jobs or workers that are offered: the newest."""

Items = list[CompletionItem]


@click.command(
    epilog="""\b
Example:
  eval "$(hodei completion bash)"                 # in ~/.bashrc; so with zsh in ~/.zshrc
  hodei completion fish >~/.config/fish/completions/hodei.fish"""
)
@click.argument("shell", metavar="SHELL", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that makes a shell complete commands, flags, ids and names."""
    found = get_completion_class(shell)
    assert found  # noqa: S101  click has one for each choice
    click.echo(found(ctx.find_root().command, {}, "hodei", "_HODEI_COMPLETE").source())


def jobs(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Ends of the ids of the newest jobs, as tables show them, or whole ids once more is typed."""

    def ask(client: Client) -> Any:
        from hodei.protocol import hodei_pb2 as pb

        return client.jobs.ListJobs(
            pb.ListJobsRequest(limit=MOST), metadata=client.metadata, timeout=ASK_S
        ).jobs

    found = _asked(ctx, ask)
    ids = {job.job_id[-SHORT_ID:]: job for job in found} | {job.job_id: job for job in found}
    offered = [name for name in ids if name.startswith(incomplete)]
    short = [name for name in offered if len(name) == SHORT_ID]
    return [
        CompletionItem(name, help=shown(f"{ids[name].state} {ids[name].name}"[:60]))
        for name in short or offered
    ]


def workers(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Names of workers that can be typed as they are, and ends of the ids of the others."""
    found = {
        one.name if _is_plain(one.name) else one.worker_id[-SHORT_ID:]: one
        for one in _asked(ctx, _workers)
    }
    return [
        CompletionItem(name, help=shown(one.state))
        for name, one in found.items()
        if name.startswith(incomplete)
    ]


def labels(ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    """Labels that workers have, as KEY=VALUE."""
    pairs = {f"{k}={v}" for one in _asked(ctx, _workers) for k, v in one.labels.items()}
    return [CompletionItem(pair) for pair in sorted(pairs) if _fits(pair, incomplete)]


def _workers(client: Client) -> Any:
    from hodei.protocol import hodei_pb2 as pb

    return client.fleet.ListWorkers(
        pb.ListWorkersRequest(), metadata=client.metadata, timeout=ASK_S
    ).workers[:MOST]


def job_states(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    return _words(JobState, incomplete)


def worker_states(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    return _words(WorkerState, incomplete)


def reasons(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    return _words(Reason, incomplete)


def event_kinds(_ctx: click.Context, _param: click.Parameter, incomplete: str) -> Items:
    return _words(KINDS, incomplete)


def _words(known: Iterable[str], incomplete: str) -> Items:
    """The words that a list A,B,… may go on with, whose last one is incomplete."""
    before, comma, last = incomplete.rpartition(",")
    return [
        CompletionItem(f"{before}{comma}{word}")
        for word in known
        if word.upper().startswith(last.upper()) and word not in before.split(",")
    ]


def _fits(offered: str, incomplete: str) -> bool:
    return _is_plain(offered) and offered.startswith(incomplete)


def _is_plain(text: str) -> bool:
    """Whether a shell takes a text as one word as it is, and a terminal shows it."""
    return text.isascii() and all(char.isalnum() or char in "-_.:/=+@" for char in text)


def _asked(ctx: click.Context, ask: Callable[[Client], Sequence[T]]) -> Sequence[T]:
    try:
        # The context has been left, and with it the flags by which servers are reached.
        with (
            ctx.scope(cleanup=False),
            connect(ctx.obj or "127.0.0.1:50051", within_s=ASK_S) as client,
        ):
            return ask(client)
    except Exception:  # noqa: BLE001  whatever it is: words of ours would stand in what is being typed
        return []
