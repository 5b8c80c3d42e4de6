"""What a job needs before it starts: its files, its environment, its argument list."""

import base64
import os
import pwd
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SANE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class JobUser:
    """Whom jobs run as."""

    name: str
    uid: int
    gid: int
    home: str

    @classmethod
    def named(cls, name: str) -> "JobUser":
        entry = pwd.getpwnam(name)
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid, entry.pw_dir)


@dataclass(frozen=True)
class Prepared:
    program: str
    argv: list[str]
    environment: dict[str, str]
    workdir: str
    stdin: str  # a file; /dev/null when the job has none


class StartFailed(Exception):
    """The job cannot start, and why, in words for its owner."""


def prepare(folder: Path, start: dict[str, Any], user: JobUser | None) -> Prepared:
    """StartFailed: no such program or folder, or the disk takes nothing more. `folder` is this attempt's own: see clear."""
    spec = start["spec"]
    try:
        workdir = _workdir(folder, spec, user)
        environment = _environment(start, workdir, user)
        argv = _argv(folder, spec, user)
        stdin = _stdin(folder, spec, user)
    except OSError as error:
        raise StartFailed(f"cannot prepare the job: {error.strerror or error}: {error.filename or folder}") from error
    program = _program(argv[0], workdir, environment["PATH"])
    if user is None:
        return Prepared(program, argv, environment, workdir, stdin)
    become = ["setpriv", f"--reuid={user.uid}", f"--regid={user.gid}", "--init-groups", "--", program, *argv[1:]]
    return Prepared(_program("setpriv", workdir, SANE_PATH), become, environment, workdir, stdin)


def _workdir(folder: Path, spec: dict[str, Any], user: JobUser | None) -> str:
    if given := spec.get("workdir"):
        if not Path(given).is_dir():
            raise StartFailed(f"workdir {given}: no such folder on this worker")
        return str(given)
    try:
        folder.mkdir(mode=0o700)
    except FileNotFoundError:  # the first job
        folder.parent.mkdir(parents=True)
        folder.mkdir(mode=0o700)
    _give(folder, user)
    return str(folder)


def _files(folder: Path) -> Path:
    """Beside the working folder, not in it; made only for jobs that have any."""
    return folder.with_name(f"{folder.name}.files")


def _file(folder: Path, name: str, data: bytes, mode: int, user: JobUser | None) -> str:
    files = _files(folder)
    files.mkdir(parents=True, exist_ok=True)
    path = files / name
    path.write_bytes(data)
    path.chmod(mode)
    _give(path, user)
    return str(path)


def clear(folder: Path) -> None:
    """What prepare has made and the job has left there. Most leave nothing: two calls."""
    for made in (folder, _files(folder)):
        try:
            os.rmdir(made)  # noqa: PTH106  a hot path
        except FileNotFoundError:
            continue
        except OSError:
            shutil.rmtree(made, ignore_errors=True)


def _environment(start: dict[str, Any], workdir: str, user: JobUser | None) -> dict[str, str]:
    """Nothing of the worker's but where programs and home are, and how text and time are shown; least of all its token."""
    mine = {key: os.environ[key] for key in ("LANG", "TZ") if key in os.environ}
    return {
        "PATH": os.environ.get("PATH", SANE_PATH),
        "HOME": user.home if user else os.environ.get("HOME", workdir),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        **mine,
        **start["spec"].get("env", {}),
        "HODEI_JOB_ID": start["job_id"],
        "HODEI_ATTEMPT": str(start["attempt"]),
        "HODEI_LEASE": str(start["lease"]),
    }


def _argv(folder: Path, spec: dict[str, Any], user: JobUser | None) -> list[str]:
    if (script := spec.get("script")) is not None:
        return [*spec["interpreter"], _file(folder, "script", script.encode(), 0o700, user)]
    command = spec["command"]
    return ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)


def _stdin(folder: Path, spec: dict[str, Any], user: JobUser | None) -> str:
    """A file, whatever its size: a pipe would have to be fed while the job runs."""
    if "stdin" in spec:
        data = spec["stdin"].encode()
    elif "stdin_base64" in spec:
        data = base64.b64decode(spec["stdin_base64"])
    else:
        return os.devnull
    return _file(folder, "stdin", data, 0o600, user)


def _give(path: Path, user: JobUser | None) -> None:
    if user:
        os.chown(path, user.uid, user.gid)


def _program(name: str, workdir: str, search: str) -> str:
    if "/" in name:
        found = name if os.path.isabs(name) else os.path.join(workdir, name)  # noqa: PTH117, PTH118  a name, kept as it was written
        if not Path(found).exists():
            raise StartFailed(f"{name}: no such file")
        if not os.access(found, os.X_OK) or Path(found).is_dir():
            raise StartFailed(f"{name}: not executable")
        return found
    if (program := shutil.which(name, path=search)) is None:
        raise StartFailed(f"{name}: command not found in PATH ({search})")
    return program
