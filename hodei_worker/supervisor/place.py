"""The files of an attempt on disk while it runs: its working folder, and beside it the files of a
job that brings some (script, stdin)."""

import os
from collections.abc import Callable
from itertools import count
from pathlib import Path

from hodei_worker.supervisor.remover import GONE, Remover
from hodei_worker.supervisor.user import JobUser


class Folders:
    """The working folders of a supervisor. A folder that no job has changed is used again: to make
    and remove one costs a wait for the file system's journal."""

    def __init__(self, parent: Path, user: JobUser | None, warn: Callable[[str], None]) -> None:
        """Removes in the background what an earlier supervisor has left. `warn` gets a text for
        each folder that cannot be removed; it is called in another thread."""
        self.parent = parent
        self.user = user
        self._free: list[str] = []
        self._ctimes: dict[str, int] = {}  # folder → its ctime when it was made
        self._numbers = count(1)
        self._make_parent()
        parent.chmod(0o711 if user else 0o700)  # an earlier supervisor may have had no job user
        self._remover = Remover(parent, warn)
        for name in os.listdir(parent):  # noqa: PTH208
            if not name.endswith(GONE):
                self._remover.discard(f"{parent}/{name}")

    def _make_parent(self) -> None:
        """Only our user may list it; a job user may pass through it to a name that it knows."""
        self.parent.mkdir(parents=True, exist_ok=True, mode=0o711 if self.user else 0o700)

    def take_folder(self) -> str:
        """Returns an empty folder. An unused one is checked first: any process of our user may have
        removed or filled it."""
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
                continue  # a job has made it, or it is not removed yet
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
        """Whether its ctime is unchanged: then nothing was created, removed or chmod-ed in it. No
        job can set a ctime."""
        try:
            return os.lstat(folder).st_ctime_ns == self._ctimes[folder]
        except OSError:
            return False

    def files(self, name: str) -> str:
        """Makes a folder for the files of a job. The job's user may pass through it and read the
        files that it owns."""
        folder = f"{self.parent}/{name}.files"
        if Path(folder).exists():  # of an earlier attempt with the same lease, of another database
            self._remover.discard(folder)
        self._make_parent()
        os.mkdir(folder, 0o711 if self.user else 0o700)  # noqa: PTH102
        return folder

    def discard_files(self, folder: str, names: list[str]) -> None:
        """Removes the files and the folder. What a job has added is removed in the background."""
        try:
            for name in names:
                os.unlink(f"{folder}/{name}")  # noqa: PTH108
            os.rmdir(folder)  # noqa: PTH106
        except OSError:
            self._remover.discard(folder)


class Place:
    """The folder and files of one attempt. `clear` must be called when it has ended."""

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
        """Writes a file and returns its path. It is not in the working folder, which belongs to the
        job, and no other user can read it at any moment."""
        self._files = self._files or self._folders.files(self._name)
        path = f"{self._files}/{name}"
        self._names.append(name)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with open(os.open(path, flags, mode), "wb") as file:  # noqa: PTH123
            file.write(data)
        give_to_user(path, self.user)
        return path

    def clear(self) -> None:
        """Gives the folder back. It never waits for the removal of the job's files."""
        if self._folder:
            self._folders.give_back(self._folder)
        if self._files:
            self._folders.discard_files(self._files, self._names)


def give_to_user(path: str, user: JobUser | None) -> None:
    """Makes the job user the owner. The path must be in a folder that no job can change."""
    if user:
        os.chown(path, user.uid, user.gid, follow_symlinks=False)
