"""What an attempt has on disk while it runs: a working folder of its own, and files beside it for
those jobs that bring some."""

import os
from collections.abc import Callable
from itertools import count
from pathlib import Path

from hodei_worker.supervisor.remover import GONE, Remover
from hodei_worker.supervisor.user import JobUser


class Folders:
    """Working folders, used again while they come back untouched: to make and remove one waits for
    the disk's journal."""

    def __init__(self, parent: Path, user: JobUser | None, warn: Callable[[str], None]) -> None:
        """What a supervisor before us has left there is removed, in the background; `told` hears of
        what stays."""
        self.parent = parent
        self.user = user
        self._free: list[str] = []
        self._ctimes: dict[
            str, int
        ] = {}  # of folders in which nothing was made, removed or changed
        self._numbers = count(1)
        self._make_parent()
        parent.chmod(0o711 if user else 0o700)  # one before us may have had no job user
        self._remover = Remover(parent, warn)
        for name in os.listdir(parent):  # noqa: PTH208
            if not name.endswith(GONE):
                self._remover.discard(f"{parent}/{name}")

    def _make_parent(self) -> None:
        """Nobody but us looks into it; a job user passes through to what it is told the name of."""
        self.parent.mkdir(parents=True, exist_ok=True, mode=0o711 if self.user else 0o700)

    def take_folder(self) -> str:
        """A folder that no job has touched. One that lies here unused may have been removed, or
        filled, by any process of our user."""
        while self._free:
            folder = self._free.pop()
            if self._untouched(folder):
                return folder
            del self._ctimes[folder]
            self._remover.discard(folder)
        return self._make()

    def _make(self) -> str:
        for number in self._numbers:
            folder = f"{self.parent}/{number}"
            try:
                os.mkdir(folder, 0o700)  # noqa: PTH102
                break
            except FileNotFoundError:
                self._make_parent()
            except FileExistsError:
                continue  # made by a job, or by one that is not removed yet
        give_to_user(folder, self.user)
        self._ctimes[folder] = os.lstat(folder).st_ctime_ns
        return folder

    def give_back(self, folder: str) -> None:
        if self._untouched(folder):
            self._free.append(folder)
        else:
            del self._ctimes[folder]
            self._remover.discard(folder)

    def _untouched(self, folder: str) -> bool:
        """The time of its last change tells: the kernel keeps it, and no job can set it."""
        try:
            return os.lstat(folder).st_ctime_ns == self._ctimes[folder]
        except OSError:
            return False

    def files(self, name: str) -> str:
        """A folder of ours for what a job brings: its user may pass, and read what is given to
        it."""
        folder = f"{self.parent}/{name}.files"
        if Path(folder).exists():  # of an attempt before with this lease, in another database
            self._remover.discard(folder)
        self._make_parent()
        os.mkdir(folder, 0o711 if self.user else 0o700)  # noqa: PTH102
        return folder

    def discard_files(self, folder: str, names: list[str]) -> None:
        """We know what is in it: nearly always it is gone at once."""
        try:
            for name in names:
                os.unlink(f"{folder}/{name}")  # noqa: PTH108
            os.rmdir(folder)  # noqa: PTH106
        except OSError:
            self._remover.discard(folder)


class Place:
    """Of one attempt. `clear` when it has ended, however it ended."""

    def __init__(self, folders: Folders, name: str) -> None:
        self._folders = folders
        self._name = name
        self._files: str | None = None
        self._names: list[str] = []  # in it
        self._folder: str | None = None

    @property
    def user(self) -> JobUser | None:
        return self._folders.user

    def folder(self) -> str:
        self._folder = self._folder or self._folders.take_folder()
        return self._folder

    def file(self, name: str, data: bytes, mode: int) -> str:
        """Not in the working folder, which is the job's. Nobody else can read it, not for a
        moment."""
        self._files = self._files or self._folders.files(self._name)
        path = f"{self._files}/{name}"
        self._names.append(name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(path, flags, mode), "wb") as file:  # noqa: PTH123
            file.write(data)
        give_to_user(path, self.user)
        return path

    def clear(self) -> None:
        """Never waits for what the job left."""
        if self._folder:
            self._folders.give_back(self._folder)
        if self._files:
            self._folders.discard_files(self._files, self._names)


def give_to_user(path: str, user: JobUser | None) -> None:
    """Path is a name of ours in a folder of ours."""
    if user:
        os.chown(path, user.uid, user.gid, follow_symlinks=False)
