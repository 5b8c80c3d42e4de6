"""What an attempt has on disk while it runs: a working folder of its own, and files beside it for those jobs that bring some."""

import os
import shutil
from itertools import count
from pathlib import Path

from hodei_worker.supervisor.user import JobUser


class Folders:
    """Working folders, used again while they come back untouched: to make and remove one waits for the disk's journal."""

    def __init__(self, parent: Path, user: JobUser | None) -> None:
        """What a supervisor before us has left there is removed."""
        self.parent = parent
        self.user = user
        self._free: list[str] = []
        self._ctimes: dict[str, int] = {}  # of folders in which nothing was made, removed or changed
        self._numbers = count(1)
        shutil.rmtree(parent, ignore_errors=True)

    def take(self) -> str:
        if self._free:
            return self._free.pop()
        folder = f"{self.parent}/{next(self._numbers)}"
        self.parent.mkdir(parents=True, exist_ok=True)
        os.mkdir(folder, 0o700)  # noqa: PTH102
        give(folder, self.user)
        self._ctimes[folder] = os.lstat(folder).st_ctime_ns
        return folder

    def give_back(self, folder: str) -> None:
        """The time of its last change tells: the kernel keeps it, and no job can set it."""
        try:
            if os.lstat(folder).st_ctime_ns == self._ctimes[folder]:
                self._free.append(folder)
                return
        except OSError:
            pass
        del self._ctimes[folder]
        if Path(folder).is_symlink():
            Path(folder).unlink()
        else:
            shutil.rmtree(folder, ignore_errors=True)


class Place:
    """Of one attempt. `clear` when it has ended, however it ended."""

    def __init__(self, folders: Folders, name: str) -> None:
        self._folders = folders
        self._name = name
        self._files: Path | None = None
        self._folder: str | None = None

    @property
    def user(self) -> JobUser | None:
        return self._folders.user

    def folder(self) -> str:
        self._folder = self._folder or self._folders.take()
        return self._folder

    def file(self, name: str, data: bytes, mode: int) -> str:
        """Not in the working folder, which is the job's."""
        if self._files is None:
            self._files = self._folders.parent / f"{self._name}.files"
            self._files.mkdir(parents=True, exist_ok=True)
        path = self._files / name
        path.write_bytes(data)
        path.chmod(mode)
        give(str(path), self.user)
        return str(path)

    def clear(self) -> None:
        if self._folder:
            self._folders.give_back(self._folder)
        if self._files:
            shutil.rmtree(self._files, ignore_errors=True)


def give(path: str, user: JobUser | None) -> None:
    if user:
        os.chown(path, user.uid, user.gid)
