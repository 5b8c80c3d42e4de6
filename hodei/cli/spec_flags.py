"""The flags that describe a job, one for every key of the spec, and how a spec is made of them."""

import functools
import json
import shlex
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from hodei.cli.spec_input import environment, pairs, read_file, read_text, stdin_keys
from hodei.cli.times import moment
from hodei.domain.spec_keys import STOP_SIGNALS
from hodei.domain.text import shown

OPTIONS = (
    click.argument("argv", nargs=-1, type=click.UNPROCESSED),
    click.option("--command", help="A shell command, run by sh -c."),
    click.option(
        "--script", metavar="FILE", help="A script, sent to the worker; - for standard input."
    ),
    click.option(
        "--interpreter",
        help='What runs the script, as "python3 -u"; what its #! names otherwise, or /bin/sh.',
    ),
    click.option(
        "-n", "--name", help="For people; at most 200 characters; a script's file otherwise."
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
        "-w", "--workdir", help="An existing folder on the worker; a fresh one otherwise."
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
        "--timeout", metavar="TIME", help="Longest run, as 90, 90s, 1h30m, 2d; none otherwise."
    ),
    click.option(
        "--queue-timeout", metavar="TIME", help="Longest wait in the queue; none otherwise."
    ),
    click.option(
        "--start-timeout",
        metavar="TIME",
        help="From being accepted to a running process; none otherwise.",
    ),
    click.option(
        "--silence-timeout", metavar="TIME", help="Longest time without output; none otherwise."
    ),
    click.option(
        "--grace", metavar="TIME", help="Between TERM and KILL, 10s otherwise, at most 10m."
    ),
    click.option(
        "--term-signal",
        "term",
        metavar="SIGNAL",
        help=f"What asks the job to end: {', '.join(STOP_SIGNALS)}; TERM otherwise.",
    ),
    click.option("--umask", metavar="0NNN", help="As 0022; the worker's otherwise."),
    click.option("--priority", type=int, help="-1000 to 1000, higher first, 0 otherwise."),
    click.option(
        "-l", "--label", multiple=True, metavar="K=V", help="Required of the worker; repeatable."
    ),
    click.option(
        "--retries", type=int, help="How often to run again after failing by itself, 0 otherwise."
    ),
    click.option(
        "--final-exit-code",
        type=click.IntRange(1, 255),
        multiple=True,
        metavar="N",
        help="Never run again after this one; repeatable.",
    ),
    click.option(
        "--on-lost",
        type=click.Choice(["rerun", "fail"]),
        help="When its worker is lost; run again otherwise.",
    ),
    click.option("--correlation-id", help="What ties jobs together; the job's id otherwise."),
    click.option("--actor", help="Name that is added to your user name in the audit."),
    click.option("--run-at", metavar="TIME", help="Not before: 2026-01-31T12:00:00Z, or +10m."),
    click.option(
        "--log-limit",
        type=int,
        metavar="BYTES",
        help="Bytes kept of each attempt's log; a smaller limit of the worker holds.",
    ),
)


OTHER_NAMES = {
    "id": "--id",
    "labels": "--label",
    "final_exit_codes": "--final-exit-code",
    "stdin_base64": "--stdin",
    "term": "--term-signal",
}
"""The flags of keys that have another name."""

SAME = (
    *("name", "workdir", "umask", "priority", "retries", "on_lost", "correlation_id", "actor"),
    *("timeout", "queue_timeout", "start_timeout", "silence_timeout", "grace", "log_limit"),
)
"""Keys that have their flag's value as it was given."""


def _parameters() -> list[str]:
    """The names under which the flags come to a command."""

    def command() -> None:
        """Takes the flags, to be asked for them."""

    for option in OPTIONS:
        option(command)
    parameters: list[click.Parameter] = command.__click_params__  # type: ignore[attr-defined]
    return [str(parameter.name) for parameter in parameters]


PARAMETERS = _parameters()


def spec_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the flags; the command gets them as one dict, `flags`."""

    @functools.wraps(command)
    def with_spec(**given: Any) -> Any:
        return command(flags={name: given.pop(name) for name in PARAMETERS}, **given)

    for option in reversed(OPTIONS):
        with_spec = option(with_spec)
    return with_spec


def given_flags(flags: dict[str, Any]) -> list[str]:
    """The flags that are given, as a user writes them."""
    given = [name for name, value in flags.items() if value not in (None, (), False)]
    own = {"argv": "-- ARGV", "job_id": "--id", "stdin_file": "--stdin", "term": "--term-signal"}
    return [own.get(name, f"--{name.replace('_', '-')}") for name in given]


def to_spec(flags: dict[str, Any]) -> dict[str, Any]:
    """The spec that the flags describe, with times in seconds, as servers of all releases take
    them. Its id is made here, so that a call repeated after a lost reply is the same job.
    UsageError names the flag at fault."""
    from hodei.domain.errors import Invalid
    from hodei.domain.ids import uuid7
    from hodei.domain.spec import normalise, plain_times

    _one_reader_of_stdin(flags)
    spec: dict[str, Any] = {"id": _job_id(flags["job_id"]) or str(uuid7()), **_what_to_run(flags)}
    spec |= {key: flags[key] for key in SAME if flags[key] is not None}
    if flags["term"] is not None:
        name = flags["term"].upper().removeprefix("SIG")
        spec["term"] = name if name in STOP_SIGNALS else flags["term"]
    if flags["final_exit_code"]:
        spec["final_exit_codes"] = list(flags["final_exit_code"])
    if env := environment(flags["env_file"], flags["env"]):
        spec["env"] = env
    if flags["label"]:
        spec["labels"] = pairs(flags["label"], "--label")
    if flags["run_at"]:
        spec["run_at"] = moment(flags["run_at"])
    if stdin := "-" if flags["interactive"] else flags["stdin_file"]:
        spec |= stdin_keys(read_file(stdin, "--stdin"))
    try:
        return plain_times(spec, normalise(json.dumps(spec)))
    except Invalid as error:
        raise click.UsageError(in_flags(str(error), flags)) from error


def in_flags(words: str, flags: dict[str, Any]) -> str:
    """Names the flag at fault where a refusal begins with a key of the spec."""
    place, _, rest = words.partition(": ")
    key, _, name = place.partition(".")
    if key == "command":
        flag = "-- ARGV" if flags["argv"] else "--command"
    elif key == "spec":
        return f"the job, with its script, environment and standard input: {rest}"
    else:
        flag = OTHER_NAMES.get(key, f"--{key.replace('_', '-')}")
    return f"{flag} {name}: {rest}" if name else f"{flag}: {rest}"


def _job_id(text: str | None) -> str | None:
    try:
        return str(uuid.UUID(text)) if text else None
    except ValueError:
        raise click.UsageError(f"--id: expected a UUID, got {text!r}") from None


def _one_reader_of_stdin(flags: dict[str, Any]) -> None:
    if flags["interactive"] and flags["stdin_file"] not in (None, "-"):
        raise click.UsageError("-i: expected it alone, or --stdin FILE alone, got both")
    readers = ["--script -"] if flags["script"] == "-" else []
    readers += ["-i"] if flags["interactive"] else []
    readers += ["--stdin -"] if flags["stdin_file"] == "-" and not flags["interactive"] else []
    readers += ["--env-file -"] * flags["env_file"].count("-")
    if len(readers) > 1:
        raise click.UsageError(
            f"{' and '.join(readers)}: expected one of them, as standard input can be read once"
        )


def _what_to_run(flags: dict[str, Any]) -> dict[str, Any]:
    given = [way for way in ("command", "script", "argv") if flags[way] not in (None, ())]
    if len(given) != 1:
        got = " and ".join("-- ARGV" if way == "argv" else f"--{way}" for way in given) or "none"
        raise click.UsageError(
            f"what to run: expected one of --command, --script and -- ARGV…, got {got}"
        )
    if flags["interpreter"] and given != ["script"]:
        raise click.UsageError("--interpreter: expected --script with it")
    if given == ["command"]:
        return {"command": flags["command"]}
    if given == ["argv"]:
        return {"command": list(flags["argv"])}
    return _script(flags)


def _script(flags: dict[str, Any]) -> dict[str, Any]:
    script: dict[str, Any] = {"script": read_text(flags["script"], "--script")}
    if flags["script"] != "-" and (name := shown(Path(flags["script"]).name)[:200]):
        script["name"] = name  # where no other is given
    if flags["interpreter"]:
        try:
            script["interpreter"] = shlex.split(flags["interpreter"])
        except ValueError as error:
            raise click.UsageError(
                f"--interpreter: expected a program and its arguments as a shell reads them,"
                f" got {flags['interpreter']!r}: {error}"
            ) from None
    return script
