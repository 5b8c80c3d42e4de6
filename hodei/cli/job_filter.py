"""The flags that say which jobs are meant, the same for `job list`, `cancel` and `retry`."""

import functools
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from hodei.cli import completion
from hodei.cli.past import Past
from hodei.domain.job import JobState, Reason

if TYPE_CHECKING:
    from hodei.protocol import hodei_pb2 as pb

Command = Callable[..., Any]
Word = TypeVar("Word", JobState, Reason)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the flags say, in their own words."""

    states: tuple[JobState, ...] = ()
    reasons: tuple[Reason, ...] = ()
    workers: tuple[str, ...] = ()
    name: str = ""
    labels: tuple[tuple[str, str | None], ...] = ()  # None: any value
    since: int | None = None  # microseconds since 1970
    until: int | None = None
    actor: str = ""
    correlation_id: str = ""
    project: str = ""
    before: str = ""  # an id or a part of one

    def __bool__(self) -> bool:
        """Whether a flag was given."""
        return self != Wanted()

    def message(self) -> "pb.JobFilter":
        from hodei.protocol import hodei_pb2 as pb

        return pb.JobFilter(
            states=self.states,
            reasons=self.reasons,
            workers=self.workers,
            name=self.name,
            labels={name: value for name, value in self.labels if value is not None},
            label_names=[name for name, value in self.labels if value is None],
            since_unix_us=self.since,
            until_unix_us=self.until,
            actor=self.actor,
            correlation_id=self.correlation_id,
            project=self.project,
        )

    @property
    def newer_flags(self) -> list[str]:
        """The flags given that servers of the release before do not know."""
        given = {
            "several values of --state": len(self.states) > 1,
            "several values of --reason": len(self.reasons) > 1,
            "--worker": self.workers,
            "--name": self.name,
            "--label": self.labels,
            "--since": self.since is not None,
            "--until": self.until is not None,
            "--actor": self.actor,
            "--project": self.project,
        }
        return [flag for flag, is_given in given.items() if is_given]


OPTIONS = (
    click.option(
        "--state",
        multiple=True,
        metavar="STATE[,…]",
        shell_complete=completion.job_states,
        help="PENDING, RUNNING, SUCCEEDED, FAILED or CANCELLED; one of several.",
    ),
    click.option(
        "--reason",
        multiple=True,
        metavar="REASON[,…]",
        shell_complete=completion.reasons,
        help="Why it failed or was cancelled, as TIMEOUT or WORKER_LOST.",
    ),
    click.option(
        "--worker",
        multiple=True,
        metavar="NAME|ID",
        shell_complete=completion.workers,
        help="The worker that has it, or had it last.",
    ),
    click.option(
        "--name",
        default="",
        metavar="GLOB",
        help="* stands for any text, ? for one character.",
    ),
    click.option(
        "-l",
        "--label",
        multiple=True,
        metavar="NAME[=VALUE]",
        shell_complete=completion.labels,
        help="A label that its worker must have; of several all.",
    ),
    click.option(
        "--since", type=Past(), metavar="TIME", help="Created since then: 10m or 2d ago, or a time."
    ),
    click.option("--until", type=Past(), metavar="TIME", help="Created before then."),
    click.option("--actor", default="", help="Who created it, as cli:ana."),
    click.option("--correlation-id", default="", help="The correlation id that it has."),
    click.option("--project", default="", help="The project that it belongs to."),
    click.option(
        "--before",
        default="",
        metavar="ID",
        shell_complete=completion.jobs,
        help="Older than this job, the last of the page before.",
    ),
)


def filter_options(command: Command) -> Command:
    """Adds the flags; the command gets `wanted`, a Wanted. UsageError: no such state or reason, or
    a label without a name."""

    @functools.wraps(command)
    def with_wanted(
        *arguments: Any,
        state: tuple[str, ...],
        reason: tuple[str, ...],
        worker: tuple[str, ...],
        name: str,
        label: tuple[str, ...],
        since: int | None,
        until: int | None,
        actor: str,
        correlation_id: str,
        project: str,
        before: str,
        **more: Any,
    ) -> Any:
        wanted = Wanted(
            states=_words(JobState, state, "--state"),
            reasons=_words(Reason, reason, "--reason"),
            workers=worker,
            name=name,
            labels=tuple(_label(text) for text in label),
            since=since,
            until=until,
            actor=actor,
            correlation_id=correlation_id,
            project=project,
            before=before,
        )
        return command(*arguments, wanted=wanted, **more)

    for option in reversed(OPTIONS):
        with_wanted = option(with_wanted)
    return with_wanted


def _words(kind: type[Word], given: Iterable[str], flag: str) -> tuple[Word, ...]:
    found: dict[Word, None] = {}
    for text in (part.strip() for several in given for part in several.split(",")):
        try:
            found[kind(text.upper())] = None
        except ValueError:
            words = f"{flag}: expected one of {', '.join(kind)}, got {text[:80]!r}"
            raise click.UsageError(words) from None
    return tuple(found)


def _label(text: str) -> tuple[str, str | None]:
    name, equals, value = text.partition("=")
    if not name:
        raise click.UsageError(f"--label: expected NAME or NAME=VALUE, got {text[:80]!r}")
    return name, value if equals else None
