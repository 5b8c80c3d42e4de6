"""The ids of the jobs of one file, so that a submit that broke off can be repeated: the same
command, the same ids, nothing runs twice.

The first id is noted in the user's state folder before anything is sent, under the hash of the
file, its project and the cluster, and forgotten when all of it stands. The same command finds the
note again; a submit of the same file after one that went well, or to another cluster, gets new ids.
"""

import contextlib
import fcntl
import hashlib
import os
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click

from hodei.cli.say import say
from hodei.domain.ids import uuid7

KEPT_S = 86_400
"""Seconds after which a note is dropped: a later submit of the same file means another run."""


@dataclass
class FirstId:
    """The id of the job that the file's first spec describes; the others count up from it."""

    value: uuid.UUID
    again: str
    """How the same jobs are submitted again, in words."""
    note: Path | None = None
    is_repeated: bool = False
    """It was noted by an earlier try, of which jobs may stand."""

    def forget(self) -> None:
        """Drops the note, as all of the file stands: a further submit means other jobs."""
        if self.note:
            self.note.unlink(missing_ok=True)

    def forget_if_new(self) -> None:
        """Drops the note, as nothing of the file stands by this try, unless an earlier one made
        it."""
        if not self.is_repeated:
            self.forget()


def given(text: str) -> FirstId:
    """The first id that a user gives, who repeats a submit from another place or as another user.
    UsageError: no submit has made it."""
    try:
        first = uuid.UUID(text)
    except ValueError:
        first = uuid.UUID(int=0)
    if first.version != 7:
        raise click.UsageError(
            f"--ids-from: expected a UUID that an earlier try printed, got {text!r}"
        )
    return FirstId(first, f"it may be repeated with --ids-from {first}")


@contextlib.contextmanager
def of_file(data: bytes, project: str = "", cluster_id: str = "") -> Iterator[FirstId]:
    """The first id that a submit of the same bytes to the same project of the same cluster noted and
    that broke off within a day, else a new one. The note stays until it is forgotten, also when this
    process is killed. `cluster_id` is empty where servers of an older release do not say it."""
    where = "".join(f"\0{word}" for word in (project, cluster_id) if word)
    noted = _open(data + where.encode())
    if noted is None:  # no folder to write to, no home, or the same file is being submitted now
        yield given(str(uuid7()))
        return
    path, file = noted
    try:
        yield _first(path, file)
    finally:
        os.close(file)


def _first(path: Path, file: int) -> FirstId:
    before = _read(path, file)
    try:
        first = before or _write(file)
    except OSError:  # a full disk
        path.unlink(missing_ok=True)
        return given(str(uuid7()))
    again = (
        "the same command may be repeated within a day,"
        f" or a corrected file, with each spec in its place, with --ids-from {first}"
    )
    return FirstId(first, again, path, is_repeated=before is not None)


def _open(data: bytes) -> tuple[Path, int] | None:
    try:
        base = Path(os.environ.get("XDG_STATE_HOME") or Path("~/.local/state").expanduser())
        path = base / "hodei" / "submits" / hashlib.sha256(data).hexdigest()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _drop_old_ones(path.parent)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except (OSError, RuntimeError):  # RuntimeError: a user without a home
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.stat().st_ino == os.fstat(file).st_ino:
            return path, file
    except OSError:
        pass
    os.close(file)
    return None


def _drop_old_ones(folder: Path) -> None:
    """Drops the notes of submits that broke off and were never repeated."""
    for path in folder.iterdir():
        if time.time() - path.stat().st_mtime > KEPT_S:
            path.unlink(missing_ok=True)


def _read(path: Path, file: int) -> uuid.UUID | None:
    try:
        first = uuid.UUID(os.pread(file, 36, 0).decode())
    except ValueError:
        return None
    at = time.strftime("%H:%M:%S", time.localtime(os.fstat(file).st_mtime))
    say(
        f"hodei: the submit of this file at {at} broke off: its ids are used again, so nothing runs twice (another run: rm {path})"
    )
    return first


def _write(file: int) -> uuid.UUID:
    first = uuid7()
    os.ftruncate(file, 0)
    os.pwrite(file, str(first).encode(), 0)
    os.fsync(file)
    return first
