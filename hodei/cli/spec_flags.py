"""The flags that describe a job, one for every key of the spec, and how a spec is made of them."""

import base64
import functools
import json
import re
import shlex
import sys
import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from hodei.domain.text import shown

DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|m|h|d)?")
UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86400, None: 1}
LONGEST_S = 31_557_600_000
"""A thousand years, in seconds: the calendar has no place for what is longer."""

MOST_TEXT = 1 << 20
"""Bytes of a script or of standard input: a spec holds a quarter of it."""


def seconds(text: str, flag: str) -> float:
    """The seconds that a text says, as 90, 1.5, 90s, 5m, 1h or 2d. UsageError names the flag."""
    found = DURATION.fullmatch(text.strip())
    if not found:
        raise click.UsageError(
            f"{flag}: expected seconds, or a number with s, m, h or d, got {text!r}"
        )
    value = float(found[1]) * UNIT_S[found[2]]
    if value > LONGEST_S:
        raise click.UsageError(f"{flag}: expected at most {LONGEST_S} seconds, got {text[:40]!r}")
    return int(value) if value == int(value) else value


def pairs(given: tuple[str, ...], flag: str) -> dict[str, str]:
    """The entries that texts of the form KEY=VALUE say. UsageError names the flag."""
    found: dict[str, str] = {}
    for text in given:
        key, separator, value = text.partition("=")
        if not separator or not key:
            raise click.UsageError(f"{flag}: expected KEY=VALUE, got {text!r}")
        found[key] = value
    return found


def moment(text: str) -> str:
    """The time that a text says, in UTC: a time with its offset, or +10m for ten minutes from
    now. UsageError: it says none."""
    if text.startswith("+"):
        at = datetime.now(UTC) + timedelta(seconds=seconds(text[1:], "--run-at"))
    else:
        try:
            at = datetime.fromisoformat(text)
        except ValueError:
            raise click.UsageError(
                f"--run-at: expected ISO 8601 as 2026-01-31T12:00:00Z, or +10m, got {text!r}"
            ) from None
    if at.tzinfo is None:
        raise click.UsageError(
            "--run-at: expected a time with its offset, as 2026-01-31T12:00:00Z or "
            f"2026-01-31T12:00:00+01:00, or +10m from now, got {text!r}"
        )
    try:
        return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
    except OverflowError:
        raise click.UsageError(
            f"--run-at: expected a time of the years 2000 to 2999, got {text!r}"
        ) from None


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
    click.option("--name", help="For people; at most 200 characters; a script's file otherwise."),
    click.option("--id", "job_id", help="A UUID of your own: the same call again is the same job."),
    click.option("--env", multiple=True, metavar="K=V", help="Environment of the job; repeatable."),
    click.option("--workdir", help="An existing folder on the worker; a fresh one otherwise."),
    click.option(
        "--stdin",
        "stdin_file",
        metavar="FILE",
        help="File that the job reads as its standard input; - for mine.",
    ),
    click.option("--timeout", metavar="TIME", help="As 90, 90s, 5m, 1h; none otherwise."),
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
        "--grace", metavar="TIME", help="Between TERM and KILL, 10 s otherwise, at most 10 m."
    ),
    click.option("--priority", type=int, help="-1000 to 1000, higher first, 0 otherwise."),
    click.option(
        "--label", multiple=True, metavar="K=V", help="Required of the worker; repeatable."
    ),
    click.option(
        "--retries", type=int, help="How often to run again after failing by itself, 0 otherwise."
    ),
    click.option(
        "--final-exit-code",
        type=int,
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


def spec_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the flags; the command gets them as one dict, `flags`."""

    @functools.wraps(command)
    def with_spec(**given: Any) -> Any:
        keys = (
            "argv",
            "command",
            "script",
            "interpreter",
            "name",
            "job_id",
            "env",
            "workdir",
            "stdin_file",
            "timeout",
            "grace",
            "priority",
            "label",
            "retries",
            "on_lost",
            "correlation_id",
            "actor",
            "run_at",
            "log_limit",
            "queue_timeout",
            "start_timeout",
            "silence_timeout",
            "final_exit_code",
        )
        flags = {key: given.pop(key) for key in keys}
        return command(flags=flags, **given)

    for option in reversed(OPTIONS):
        with_spec = option(with_spec)
    return with_spec


def to_spec(flags: dict[str, Any]) -> dict[str, Any]:
    """The spec that the flags describe. Its id is made here, so that a call repeated after a lost
    reply is the same job. UsageError names the flag at fault."""
    from hodei.domain.errors import Invalid
    from hodei.domain.ids import uuid7
    from hodei.domain.spec import normalise

    spec: dict[str, Any] = {"id": _job_id(flags["job_id"]) or str(uuid7()), **_what_to_run(flags)}
    for key in (
        "name",
        "workdir",
        "priority",
        "retries",
        "on_lost",
        "correlation_id",
        "actor",
        "log_limit",
    ):
        if flags[key] is not None:
            spec[key] = flags[key]
    for key in ("timeout", "grace", "queue_timeout", "start_timeout", "silence_timeout"):
        if flags[key] is not None:
            spec[key] = seconds(flags[key], f"--{key.replace('_', '-')}")
    if flags["final_exit_code"]:
        spec["final_exit_codes"] = list(flags["final_exit_code"])
    if flags["env"]:
        spec["env"] = pairs(flags["env"], "--env")
    if flags["label"]:
        spec["labels"] = pairs(flags["label"], "--label")
    if flags["run_at"]:
        spec["run_at"] = moment(flags["run_at"])
    if flags["stdin_file"]:
        spec |= _stdin(read_file(flags["stdin_file"], "--stdin"))
    try:
        normalise(json.dumps(spec))
    except Invalid as error:
        raise click.UsageError(str(error)) from error
    return spec


def _job_id(text: str | None) -> str | None:
    try:
        return str(uuid.UUID(text)) if text else None
    except ValueError:
        raise click.UsageError(f"--id: expected a UUID, got {text!r}") from None


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
    script: dict[str, Any] = {"script": _text(read_file(flags["script"], "--script"))}
    if flags["script"] != "-" and (name := shown(Path(flags["script"]).name)[:200]):
        script["name"] = name  # where no other is given
    if flags["interpreter"]:
        script["interpreter"] = shlex.split(flags["interpreter"])
    return script


def read_file(name: str, flag: str, most: int = MOST_TEXT) -> bytes:
    """The content of a file, or of standard input for `-`. UsageError: it cannot be read, or it has
    more than `most` bytes; no more are read, so that what never ends, as /dev/zero, is refused."""
    try:
        if name == "-":
            data = sys.stdin.buffer.read(most + 1) if sys.stdin else b""
        else:
            with Path(name).open("rb") as file:
                data = file.read(most + 1)
    except OSError as error:
        raise click.UsageError(f"{flag} {name}: {error.strerror}") from error
    except ValueError:  # a NUL in it
        raise click.UsageError(f"{flag}: expected the name of a file, got {name!r}") from None
    if len(data) > most:
        raise click.UsageError(f"{flag} {name}: expected at most {most} bytes")
    return data


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise click.UsageError("--script: expected UTF-8 text") from None


def _stdin(data: bytes) -> dict[str, str]:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = "\0"
    return {"stdin_base64": base64.b64encode(data).decode()} if "\0" in text else {"stdin": text}
