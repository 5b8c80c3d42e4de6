"""Arguments that are ids: a whole one, or the part of it that a table shows."""

import functools
import inspect
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from hodei.cli import completion, show
from hodei.cli.client import Client, connect
from hodei.cli.errors import Failure, Lines
from hodei.cli.older_server import unless_older
from hodei.domain.text import shown
from hodei.shapes.error import ErrorKind

if TYPE_CHECKING:
    from hodei.protocol import hodei_pb2 as pb

Command = Callable[..., Any]

PART = "a UUID, its first 6 or more characters, or its last 8 or more"

ABOUT_IDS = (
    "An ID is a UUID, its first 6 or more characters, or its last 8 or more, as tables show them. "
    "Ends of ids, and --last, are found among the newest 100,000 jobs."
)
"""A paragraph for the help of each command that takes one."""

MOST_PARTS = 100
"""Parts that one call of the server takes."""


def job_id_argument(command: Command) -> Command:
    """The argument ID of a command, and --last in its place: passed as `job_id`, a whole UUID.

    The end of an id is looked for among the newest 100,000 jobs. Stands above `click.pass_obj`."""

    @functools.wraps(command)
    def with_whole_id(*arguments: Any, job_id: str | None, last: bool, **more: Any) -> Any:
        given = [job_id] if job_id is not None else []
        (whole,) = _whole(given, last=last, several=False)
        return command(*arguments, job_id=whole, **more)

    return _with_parameters(with_whole_id, "job_id", several=False)


def job_ids_argument(command: Command) -> Command:
    """The arguments ID… of a command, and --last in their place: passed as `job_ids`, whole UUIDs,
    each once, in the order given; none where none is given. Stands above `click.pass_obj`."""

    @functools.wraps(command)
    def with_whole_ids(*arguments: Any, job_ids: tuple[str, ...], last: bool, **more: Any) -> Any:
        whole = _whole(job_ids, last=last, several=True)
        return command(*arguments, job_ids=list(dict.fromkeys(whole)), **more)

    return _with_parameters(with_whole_ids, "job_ids", several=True)


def _with_parameters(command: Command, name: str, *, several: bool) -> Command:
    last = click.option("--last", is_flag=True, help="My newest job, in place of an ID.")
    metavar = "[ID]..." if several else "[ID]"
    command.__doc__ = f"{inspect.cleandoc(command.__doc__ or '')}\n\n{ABOUT_IDS}"
    argument = click.argument(
        name,
        metavar=metavar,
        required=False,
        nargs=-1 if several else 1,
        shell_complete=completion.jobs,
    )
    return argument(last(command))


def _whole(given: Sequence[str], *, last: bool, several: bool) -> list[str]:
    """The whole ids of a command's arguments; of --last, that of the user's newest job."""
    if last and given:
        raise click.UsageError("--last: expected either --last or an ID, got both")
    if not last and not given and not several:
        raise click.UsageError(f"ID: expected {PART}, or --last; got nothing")
    if last:
        given = [""]
    known = {text: uuid_or_none(text) for text in given}
    if not all(known.values()):
        with connect(click.get_current_context().obj) as client:
            return resolve_jobs(client, given)
    return [str(known[text]) for text in given]


def uuid_or_none(text: str) -> str | None:
    """The UUID that a text says, in its usual form; None: it says none."""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


def resolve_jobs(client: Client, given: Sequence[str]) -> list[str]:
    """The whole id of each, in order: a whole one is not asked for, and an empty one means the
    caller's newest job. UsageError: one is no part of an id. ClickException: one means no job, or
    several, which are listed."""
    known = {text: uuid_or_none(text) for text in given}
    parts = [text for text, whole in known.items() if whole is None]
    for text in parts:
        _check(text)
    for first in range(0, len(parts), MOST_PARTS):
        some = parts[first : first + MOST_PARTS]
        for text, meant in zip(some, _ask(client, some), strict=True):
            known[text] = _only(text, meant)
    return [str(known[text]) for text in given]


def _check(text: str) -> None:
    digits = text.replace("-", "")
    is_hex = all(char in "0123456789abcdefABCDEF" for char in digits)
    if text and not (is_hex and 6 <= len(digits) < 32):
        raise click.UsageError(f"ID: expected {PART}, got {text[:80]!r}")


def _ask(client: Client, parts: list[str]) -> "Sequence[pb.ResolveJobsResponse.Meant]":
    from hodei.protocol import hodei_pb2 as pb

    with unless_older(client, "knows neither parts of ids nor --last: give the whole id"):
        answer = client.call(client.jobs.ResolveJobs, pb.ResolveJobsRequest(parts=parts))
    found: Sequence[pb.ResolveJobsResponse.Meant] = answer.meant
    return found


def _only(text: str, meant: "pb.ResolveJobsResponse.Meant") -> str:
    if len(meant.jobs) == 1:
        return str(meant.jobs[0].job_id)
    if meant.jobs:
        raise Failure(_candidates(text, meant), ErrorKind.AMBIGUOUS)
    if text:
        raise Failure(
            f"no job has an id that begins with {text!r}, and none of the newest 100,000 one that "
            "ends with it",
            ErrorKind.NOT_FOUND,
        )
    raise Failure(
        "--last: none of the newest 100,000 jobs is yours; give an ID", ErrorKind.NOT_FOUND
    )


def _candidates(text: str, meant: "pb.ResolveJobsResponse.Meant") -> str:
    lines = [
        f"  {one.job_id}  {one.state:<9}  {show.clock(one.created_unix_us)}  {shown(one.name)}"
        for one in meant.jobs
    ]
    if meant.more:
        lines.append("  … and more")
    return Lines(
        "\n".join([f"{text!r} is a part of the ids of several jobs; give more of it:", *lines])
    )
