"""Prepares a job: its files, its environment and its argument list."""

import base64
import functools
import os
import pwd
from typing import Any, NamedTuple

from hodei_worker.supervisor import secrets
from hodei_worker.supervisor.executor import Start
from hodei_worker.supervisor.place import Place
from hodei_worker.supervisor.user import JobUser

SANE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Prepared(NamedTuple):
    argv: list[str]
    environment: dict[str, str]
    workdir: str
    stdin: str  # path of a file; /dev/null if the job has none
    umask: str  # four octal digits; "": the worker's own


class StartFailed(Exception):
    """The message tells the job's owner why it cannot start."""


def prepare(place: Place, start: Start) -> Prepared:
    """Raises StartFailed if a file cannot be written, for example because the disk is full, and for
    a job of another executor."""
    spec, user = start.spec, place.user
    if "image" in spec:
        raise StartFailed("it has an image, and this worker runs no containers (--executor docker)")
    try:
        workdir = _workdir(place, spec)
        environment = _environment(start, workdir, user)
        argv = _argv(place, spec)
        stdin = _stdin(place, spec)
    except OSError as error:
        where = error.filename or "the worker's state folder"
        raise StartFailed(f"cannot prepare the job: {error.strerror or error}: {where}") from error
    return Prepared(argv, environment, workdir, stdin, spec.get("umask", ""))


def _workdir(place: Place, spec: dict[str, Any]) -> str:
    """The launcher enters it with the job's rights, and reports it if it does not exist."""
    return str(spec.get("workdir") or place.folder())


DEFAULTS = {"PATH": SANE_PATH, "LANG": "C.UTF-8"} | {
    key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TZ") if key in os.environ
}
"""The variables that jobs get from the worker's environment. Its token is not among them. TZ is set
only if the worker has it; without it the host's time zone applies."""


@functools.cache
def _own_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())  # in a container a user may have no name


def _environment(start: Start, workdir: str, user: JobUser | None) -> dict[str, str]:
    name = user.name if user else _own_name()
    return {
        "HOME": workdir,
        "USER": name,
        "LOGNAME": name,
        **DEFAULTS,
        **({"HOME": user.home or workdir} if user else {}),
        **secrets.environment(start.spec, start.secrets),
        "HODEI_JOB_ID": start.job_id,
        "HODEI_ATTEMPT": str(start.attempt),
        "HODEI_LEASE": str(start.lease),
    }


LONGEST_ARGUMENT = 100_000
"""Bytes of a command string; the kernel accepts 131,071 in one argument. A longer command is
written to a file."""

SHELL = ["/bin/sh"]


def _argv(place: Place, spec: dict[str, Any]) -> list[str]:
    if (script := spec.get("script")) is not None:
        path = place.file("script", script.encode(), 0o700)
        return [*(spec.get("interpreter") or SHELL), path]
    command = spec["command"]
    if not isinstance(command, str):
        return list(command)
    if len(command) * 4 > LONGEST_ARGUMENT and len(whole := command.encode()) > LONGEST_ARGUMENT:
        return [*SHELL, place.file("command", whole, 0o700)]
    return [*SHELL, "-c", command]


def _stdin(place: Place, spec: dict[str, Any]) -> str:
    """Returns a file also for a short stdin: a pipe would have to be written to while the job
    runs."""
    if "stdin" in spec:
        data = spec["stdin"].encode()
    elif "stdin_base64" in spec:
        data = base64.b64decode(spec["stdin_base64"])
    else:
        return os.devnull
    return place.file("stdin", data, 0o600)
