"""How a spec is made of the flags that describe a job (spec_options.py)."""

import json
import re
import shlex
import uuid
from pathlib import Path
from typing import Any

import click

from hodei.cli import image_flags
from hodei.cli.spec_input import (
    environment,
    pairs,
    read_file,
    read_text,
    secrets_named,
    stdin_keys,
)
from hodei.cli.spec_options import FLAGS, NAMES
from hodei.cli.times import moment
from hodei.domain.spec_keys import EXECUTOR, SECRETS, STOP_SIGNALS
from hodei.domain.text import shown

DERIVED = {EXECUTOR: "--image", SECRETS: "--secret"}
"""Labels that are made of the rest of a spec, and the flag that each comes from."""

SAME = (
    *("name", "workdir", "priority", "retries", "on_lost", "correlation_id", "actor"),
    *("timeout", "queue_timeout", "start_timeout", "silence_timeout", "grace", "log_limit"),
)
"""Keys that have their flag's value as it was given."""


def to_spec(flags: dict[str, Any]) -> dict[str, Any]:
    """The spec that the flags describe, with times in seconds, as servers of all releases take
    them. Its id is made here, so that a call repeated after a lost reply is the same job.
    UsageError names the flag at fault; standard input for the job is read when no flag is."""
    from hodei.domain.ids import uuid7

    _one_reader_of_stdin(flags)
    spec: dict[str, Any] = {"id": _job_id(flags["job_id"]) or str(uuid7()), **_what_to_run(flags)}
    spec = _checked(spec | _other_keys(flags), flags)
    if stdin := "-" if flags["interactive"] else flags["stdin_file"]:
        spec = _checked(spec | stdin_keys(read_file(stdin, "--stdin")), flags)
    return spec


def _other_keys(flags: dict[str, Any]) -> dict[str, Any]:
    """The keys that do not say what to run."""
    keys = {key: flags[key] for key in SAME if flags[key] is not None}
    if flags["term"] is not None:
        name = flags["term"].upper().removeprefix("SIG")
        keys["term"] = name if name in STOP_SIGNALS else flags["term"]
    if (umask := flags["umask"]) is not None:
        keys["umask"] = f"0{umask}" if re.fullmatch("[0-7]{3}", umask) else umask
    keys |= dict(image_flags.image_keys(flags))
    if flags["final_exit_code"]:
        keys["final_exit_codes"] = _exit_codes(flags["final_exit_code"])
    if env := _environment(flags):
        keys["env"] = env
    if flags["label"]:
        keys["labels"] = _labels(flags["label"])
    if flags["run_at"]:
        keys["run_at"] = moment(flags["run_at"])
    return keys


def _labels(given: tuple[str, ...]) -> dict[str, str]:
    """UsageError: one is derived from the spec, whatever is said of it."""
    labels = pairs(given, "--label")
    for key, instead in DERIVED.items():
        if key in labels:
            raise click.UsageError(f"--label: expected no {key}, which {instead} adds")
    return labels


def _environment(flags: dict[str, Any]) -> dict[str, Any]:
    """The variables, those with the name of a secret among them. A flag goes before a file."""
    given = environment((), flags["env"])
    env: dict[str, Any] = environment(flags["env_file"], flags["env"])
    for name, secret in secrets_named(flags["secret"]).items():
        if name in given:
            raise click.UsageError(f"--secret {name}: expected it or --env {name}, got both")
        env[name] = {"secret": secret}
    return env


def _checked(spec: dict[str, Any], flags: dict[str, Any]) -> dict[str, Any]:
    from hodei.domain.errors import Invalid
    from hodei.domain.spec import normalise, plain_times

    try:
        return plain_times(spec, normalise(json.dumps(spec)))
    except Invalid as error:
        raise click.UsageError(in_flags(str(error), flags)) from error


def in_flags(words: str, flags: dict[str, Any]) -> str:
    """Names the flag at fault where a refusal begins with a key of the spec."""
    place, _, rest = words.partition(": ")
    key, _, name = place.partition(".")
    if key == "spec":
        return f"the job, with its script, environment and standard input: {rest}"
    parameter = "argv" if key == "command" and flags["argv"] else NAMES.get(key, key)
    flag = FLAGS.get(parameter, key)
    return f"{flag} {name}: {rest}" if name else f"{flag}: {rest}"


def _exit_codes(given: tuple[int, ...]) -> list[int]:
    if wrong := [code for code in given if not 1 <= code <= 255]:
        raise click.UsageError(
            f"--final-exit-code: expected an exit code from 1 to 255, got {wrong[0]}"
        )
    return list(given)


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
    if not given and flags["image"]:
        return {}
    if len(given) != 1:
        got = " and ".join("-- ARGV" if way == "argv" else f"--{way}" for way in given) or "none"
        raise click.UsageError(
            f"what to run: expected one of --command, --script and -- ARGV…, got {got}"
        )
    if flags["interpreter"] and given != ["script"]:
        raise click.UsageError("--interpreter: expected --script with it")
    if flags["entrypoint"] and given != ["argv"]:
        raise click.UsageError(
            "--entrypoint: expected its arguments as -- ARGV…, or nothing else to run,"
            f" got --{given[0]}"
        )
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
