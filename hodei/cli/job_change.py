"""What `hodei job cancel` and `retry` have in common: they find the jobs, ask the user, and print
an answer for each job."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import click

from hodei.cli import show
from hodei.cli.client import Client, connect
from hodei.cli.ids import job_ids_argument
from hodei.cli.job_filter import Wanted, filter_options
from hodei.cli.job_find import MOST_PER_CALL, FoundJob, find_jobs, states_of
from hodei.cli.say import say
from hodei.domain.job import JobState
from hodei.domain.job_change import Change, Refusal
from hodei.domain.text import shown
from hodei.shapes.job import JobChange

Command = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Verb:
    """What is done to the jobs."""

    name: str  # cancel
    past: str  # cancelled
    may: Callable[[JobState], bool]
    """Whether it can be done to a job in this state."""
    cannot: str  # already ended
    refusal: Refusal
    """Of a job in any other state."""
    would: Callable[[JobState], Change]
    """The change that it would make."""
    call: Callable[[Client, Sequence[str], Wanted], list[JobChange]]
    """Does it to at most MOST_PER_CALL jobs."""
    words: Callable[[JobChange], str]
    """What is printed for a job to which it was done."""
    oldest_first: bool = False
    """Whether jobs that a filter has found are taken in the order of their creation."""


@dataclass(frozen=True, slots=True)
class Options:
    """How it is done."""

    dry_run: bool
    yes: bool
    quiet: bool
    output: str


def change_options(command: Command) -> Command:
    """Adds the arguments and flags of a command that changes jobs."""
    for option in (
        show.format_option,
        click.option("-q", "--quiet", is_flag=True, help="Print only ids, one on each line."),
        click.option("-y", "--yes", is_flag=True, help="Do not ask before jobs of a filter."),
        click.option("--dry-run", is_flag=True, help="Say what would be done, and do nothing."),
        filter_options,
        job_ids_argument,
    ):
        command = option(command)
    return command


def change(servers: str, verb: Verb, ids: list[str], wanted: Wanted, options: Options) -> None:
    """Does it to the jobs of these ids or of the filter, and prints what became of each.

    UsageError: there are both or neither, or nobody can be asked. ClickException: it could not be
    done to some of them."""
    if ids and wanted:
        raise click.UsageError("expected either IDs or flags that say which jobs, got both")
    if not ids and not wanted:
        raise click.UsageError(
            f"expected IDs, --last, or flags that say which jobs to {verb.name}, as --name; "
            "got nothing"
        )
    with connect(servers) as client:
        if wanted:
            found = _found(client, verb, wanted)
            words, ids = _counted(verb, found)
            if not options.dry_run:
                _ask(verb, words, ids, options)
        elif options.dry_run:
            states = states_of(client, ids)
            found = [FoundJob(job, states[job]) for job in ids if job in states]
            words, _ = _counted(verb, found, missing=len(ids) - len(states))
        if options.dry_run:
            _print_plan(verb, found, words, options)
            return
        _change_all(client, verb, ids, wanted, options)


def _found(client: Client, verb: Verb, wanted: Wanted) -> list[FoundJob]:
    found = [one for page in find_jobs(client, wanted) for one in page]
    return found[::-1] if verb.oldest_first else found


def _counted(verb: Verb, found: Sequence[FoundJob], missing: int = 0) -> tuple[str, list[str]]:
    """What was found in words, and the ids of the jobs to which it can be done."""
    ids = [one.job_id for one in found if verb.may(one.state)]
    matches = "matches" if len(found) == 1 else "match"
    words = f"{_number(len(found))} {matches}, {_number(len(ids))} can be {verb.past}"
    if cannot := len(found) - len(ids):
        words += f", {_number(cannot)} {verb.cannot}"
    if missing:
        words += f", {_number(missing)} {'does' if missing == 1 else 'do'} not exist"
    return words, ids


def _number(count: int) -> str:
    return f"{count:,}"


def _ask(verb: Verb, words: str, ids: list[str], options: Options) -> None:
    """Asks whether it is to be done. UsageError: nobody can answer. Abort: the answer is no."""
    if options.yes or not ids:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError(
            f"{words}: expected --yes, because no terminal can be asked (or --dry-run)"
        )
    click.confirm(f"{words}. Go on?", abort=True, err=True)


def _change_all(
    client: Client, verb: Verb, ids: Sequence[str], wanted: Wanted, options: Options
) -> None:
    """Prints what became of the jobs. Where a call fails, or Ctrl-C ends it, those before it are
    printed, and the error goes on."""
    changes: list[JobChange] = []
    try:
        for first in range(0, len(ids), MOST_PER_CALL):
            changes += verb.call(client, ids[first : first + MOST_PER_CALL], wanted)
            if len(ids) > MOST_PER_CALL:
                say(f"hodei: {_number(len(changes))} of {_number(len(ids))} jobs")
    except (Exception, KeyboardInterrupt):
        if changes:
            _print_done(verb, changes, wanted, options)
        raise
    _print_done(verb, changes, wanted, options)
    _raise_failed(verb, changes, wanted)


def _print_plan(verb: Verb, found: Sequence[FoundJob], words: str, options: Options) -> None:
    plan = [
        JobChange(
            job_id=one.job_id,
            change=verb.would(one.state) if verb.may(one.state) else None,
            refusal=None if verb.may(one.state) else verb.refusal,
            state=one.state,
        )
        for one in found
    ]
    if options.quiet:
        for one in plan:
            if one.change:
                click.echo(shown(one.job_id))
    elif not show.emit(options.output, plan):
        click.echo(words)


def _print_done(verb: Verb, changes: list[JobChange], wanted: Wanted, options: Options) -> None:
    done = [one for one in changes if one.change]
    if options.quiet:
        for one in done:
            click.echo(shown(one.new_job_id or one.job_id))
    elif not show.emit(options.output, changes):
        if wanted:
            click.echo(_summary(verb, changes))
        else:
            for one in done:
                click.echo(shown(verb.words(one)))


CHANGED_MEANWHILE = (Refusal.ENDED, Refusal.NOT_ENDED, Refusal.OTHER_STATE)
"""Refusals of a job that was found by a filter and has changed its state since."""


def _raise_failed(verb: Verb, changes: list[JobChange], wanted: Wanted) -> None:
    """ClickException: it could not be done to some; a job of a filter that has changed its state
    meanwhile is none of them."""
    failed = [
        one for one in changes if one.refusal and not (wanted and one.refusal in CHANGED_MEANWHILE)
    ]
    if not failed:
        return
    if len(changes) == 1:
        raise click.ClickException(_words(failed[0]))
    for one in failed[:MOST_NAMED]:
        say(f"hodei: {shown(_words(one))}")
    raise click.ClickException(
        f"{_number(len(failed))} of {_number(len(changes))} jobs could not be {verb.past}"
    )


MOST_NAMED = 100
"""Jobs to which it could not be done that are named; the others are counted."""


def _words(failed: JobChange) -> str:
    return failed.message or f"job {failed.job_id}: {failed.refusal}"


def _summary(verb: Verb, changes: Sequence[JobChange]) -> str:
    kinds = {
        "cancelled": sum(one.change == Change.CANCELLED for one in changes),
        "asked to stop": sum(one.change == Change.CANCEL_REQUESTED for one in changes),
        "run again": sum(one.change == Change.RETRIED for one in changes),
        "left as they are": sum(one.change is None for one in changes),
    }
    words = [f"{_number(count)} {words}" for words, count in kinds.items() if count]
    return ", ".join(words) or f"no job to {verb.name}"
