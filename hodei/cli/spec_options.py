"""The flags that describe a job, one for every key of the spec. spec_flags.py makes a spec of
them."""

import functools
from collections.abc import Callable
from typing import Any

import click

from hodei.cli import completion, image_flags
from hodei.domain.spec_keys import STOP_SIGNALS

OPTIONS = (
    click.argument("argv", nargs=-1, type=click.UNPROCESSED),
    click.option("--command", help="A shell command, run by sh -c."),
    click.option(
        "--script", metavar="FILE", help="A script, sent to the worker; - for standard input."
    ),
    click.option(
        "--interpreter",
        help='What runs the script, as "python3 -u".',
        show_default="what its #! line names, or /bin/sh",
    ),
    click.option(
        "-n",
        "--name",
        help="For people; at most 200 characters.",
        show_default="the script's file, or the command's first word",
    ),
    click.option("--id", "job_id", help="A UUID of your own: the same call again is the same job."),
    click.option(
        "-e",
        "--env",
        multiple=True,
        metavar="NAME[=VALUE]",
        help="Environment of the job; a name alone takes my value of it; repeatable.",
    ),
    click.option(
        "--env-file",
        multiple=True,
        metavar="FILE",
        help="NAME=VALUE or NAME on each line, # before a comment; --env goes before; repeatable.",
    ),
    click.option(
        "--secret",
        multiple=True,
        metavar="NAME=SECRET",
        help="A variable with the value of a secret (hodei secret set); repeatable.",
    ),
    click.option(
        "-w",
        "--workdir",
        metavar="FOLDER",
        help="An existing folder on the worker.",
        show_default="a new one",
    ),
    click.option(
        "--stdin",
        "stdin_file",
        metavar="FILE",
        help="File that the job reads as its standard input, at most 256 KiB; - for mine.",
    ),
    click.option(
        "-i",
        "--interactive",
        is_flag=True,
        help="Give the job my standard input, read to its end first, as --stdin - does.",
    ),
    click.option(
        "--timeout",
        metavar="TIME",
        help="Longest run of an attempt, as 90, 90s, 1h30m or 2d.",
        show_default="none",
    ),
    click.option(
        "--queue-timeout",
        metavar="TIME",
        help="Longest wait in the queue.",
        show_default="none",
    ),
    click.option(
        "--start-timeout",
        metavar="TIME",
        help="Longest time from the accept by a worker until the process runs.",
        show_default="none",
    ),
    click.option(
        "--silence-timeout",
        metavar="TIME",
        help="Longest time without output.",
        show_default="none",
    ),
    click.option(
        "--grace",
        metavar="TIME",
        help="Time between the signal that asks the job to end and KILL; at most 10m.",
        show_default="10s",
    ),
    click.option(
        "--term-signal",
        "term",
        metavar="SIGNAL",
        help=f"What asks the job to end: {', '.join(STOP_SIGNALS)}.",
        show_default="TERM",
    ),
    click.option(
        "--umask",
        metavar="NNN",
        help="Three or four octal digits, as 022.",
        show_default="the worker's",
    ),
    click.option(
        "--priority",
        type=int,
        help="-1000 to 1000; a higher one is first.",
        show_default="0",
    ),
    click.option(
        "-l",
        "--label",
        multiple=True,
        metavar="K=V",
        shell_complete=completion.labels,
        help="Required of the worker; repeatable.",
    ),
    click.option(
        "--retries",
        type=int,
        help="How often to run again after failures of its own.",
        show_default="0",
    ),
    click.option(
        "--final-exit-code",
        type=int,
        multiple=True,
        metavar="N",
        help="Exit code, 1 to 255, after which it is not run again; repeatable.",
    ),
    click.option(
        "--on-lost",
        type=click.Choice(["rerun", "fail"]),
        help="What to do when its worker is lost.",
        show_default="rerun",
    ),
    click.option("--correlation-id", help="What ties jobs together.", show_default="the job's id"),
    click.option("--actor", help="Name that is added to your user name in the audit."),
    click.option("--run-at", metavar="TIME", help="Not before: 2026-01-31T12:00:00Z, or +10m."),
    click.option(
        "--log-limit",
        type=int,
        metavar="BYTES",
        help="Bytes kept of each attempt's log; a smaller limit of the worker holds.",
        show_default="the worker's",
    ),
    *image_flags.OPTIONS,
)


project_option = click.option(
    "--project",
    default="",
    metavar="PROJECT",
    help="Project of the jobs. An API key that is bound to one has no other.",
    show_default="the API key's, or default",
)
"""Whose the jobs are: that is no key of a spec, but the caller's."""


def _flags() -> dict[str, str]:
    def command() -> None:
        """Takes the options, so that they can be asked for their names."""

    for option in OPTIONS:
        option(command)
    parameters: list[click.Parameter] = command.__click_params__  # type: ignore[attr-defined]
    return {
        str(one.name): "-- ARGV" if isinstance(one, click.Argument) else max(one.opts, key=len)
        for one in parameters
    }


FLAGS = _flags()
"""The names under which a command gets the values, with the flags as users write them."""

NAMES = {
    "id": "job_id",
    "labels": "label",
    "final_exit_codes": "final_exit_code",
    "stdin": "stdin_file",
    "stdin_base64": "stdin_file",
    "volumes": "volume",
}
"""The names of the keys of a spec that have another one."""


def spec_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the flags; the command gets them as one dict, `flags`."""

    @functools.wraps(command)
    def with_spec(**given: Any) -> Any:
        return command(flags={name: given.pop(name) for name in FLAGS}, **given)

    for option in reversed(OPTIONS):
        with_spec = option(with_spec)
    return with_spec


def given_flags(flags: dict[str, Any]) -> list[str]:
    """The flags that are given, as a user writes them."""
    return [
        FLAGS[name]
        for name, value in flags.items()
        if not (value is None or value is False or value == ())  # 0 is given
    ]
