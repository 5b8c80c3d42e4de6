"""Removes the files that jobs have left in their folders. It works in a thread of its own, so that
the end of a job never waits for it.

The queue is on disk: every entry whose name ends in `.gone` is to be removed, also those that an
earlier supervisor did not remove."""

import os
import stat
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

GONE = ".gone"

AGAIN_S = 600.0
"""Seconds until an entry that could not be removed is tried again. It is reported once."""

PART = 1000
"""Number of a folder's names that are in memory at a time."""

BREATH_S = 0.002
"""Seconds of pause after each 200 entries, so that the supervisor's loop gets the interpreter."""


class Remover:
    """`warn` gets one line for each folder that could not be removed, in the remover's thread."""

    def __init__(self, parent: Path, warn: Callable[[str], None]) -> None:
        self._parent = parent
        self._warn = warn
        self._wake = threading.Event()
        self._remaining: dict[
            str, float
        ] = {}  # name → when it is tried again, by the monotonic clock
        self._number = 0
        threading.Thread(target=self._work, name="remover", daemon=True).start()

    def discard(self, path: str) -> None:
        """Renames the entry at once and removes it later. Never raises and never waits.

        It stays in its parent: a folder that its owner may not write to cannot be moved elsewhere.
        """
        self._number += 1
        try:
            os.rename(path, f"{path}-{os.getpid()}-{self._number}{GONE}")  # noqa: PTH104
        except OSError as error:
            if not isinstance(error, FileNotFoundError):
                self._warn(f"{path} cannot be removed: {error.strerror}")
        self._wake.set()

    def _work(self) -> None:
        while True:
            try:
                self._sweep()
            except Exception as error:  # noqa: BLE001  the removal of all goes on
                print(f"the remover: {error!r}", file=sys.stderr, flush=True)
            self._wake.wait(AGAIN_S)
            self._wake.clear()

    def _sweep(self) -> None:
        now = time.monotonic()
        try:
            names = os.listdir(self._parent)  # noqa: PTH208
        except FileNotFoundError:
            return
        found = [name for name in names if name.endswith(GONE)]
        self._remaining = {name: again for name, again in self._remaining.items() if name in found}
        for name in found:
            if self._remaining.get(name, 0.0) > now:
                continue
            remaining = remove(str(self._parent / name))
            if remaining and name not in self._remaining:
                self._warn(f"{self._parent / name}: {remaining} entries could not be removed")
            if remaining:
                self._remaining[name] = now + AGAIN_S


def remove(path: str) -> int:
    """Removes the path and everything below it. Returns how many entries could not be removed.

    It does not recurse, holds few descriptors however deep the tree is, and follows no symlink. A
    folder that its owner may not read or write is made accessible first.
    """
    try:
        if not stat.S_ISDIR(os.lstat(path).st_mode):
            os.unlink(path)  # noqa: PTH108
            return 0
        above = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)  # noqa: PTH120
    except FileNotFoundError:
        return 0
    except OSError:
        return 1
    return _Walk(above, os.path.basename(path)).run()  # noqa: PTH119


@dataclass
class _Level:
    """One folder on the path from the top to the present one."""

    names: list[str]  # entries to remove, the last one first; read in parts
    kept: set[str] = field(default_factory=set)
    above: tuple[int, int] = (0, 0)  # device and inode of the folder that holds it


class _Walk:
    """Walks depth first by descriptors, because a path may be longer than the kernel accepts."""

    def __init__(self, above: int, name: str) -> None:
        self._at = above
        self._levels = [_Level([name])]
        self._remaining = 0
        self._done = 0

    def run(self) -> int:
        try:
            while True:
                if self._levels[-1].names or (len(self._levels) > 1 and self._read_on()):
                    self._remove(self._levels[-1].names[-1])
                elif len(self._levels) > 1:
                    self._up()
                else:
                    return self._remaining
        except OSError:
            return self._remaining + 1  # another process moves entries while we walk
        finally:
            os.close(self._at)

    def _read_on(self) -> bool:
        level = self._levels[-1]
        with os.scandir(self._at) as entries:
            fresh = (entry.name for entry in entries if entry.name not in level.kept)
            level.names = list(islice(fresh, PART))
        return bool(level.names)

    def _remove(self, name: str) -> None:
        """Removes the last of this folder's names; or enters it, or gives it up."""
        self._done += 1
        if not self._done % 200:
            time.sleep(BREATH_S)
        names = self._levels[-1].names
        try:
            if stat.S_ISDIR(os.stat(name, dir_fd=self._at, follow_symlinks=False).st_mode):
                os.rmdir(name, dir_fd=self._at)
            else:
                os.unlink(name, dir_fd=self._at)
            names.pop()
        except FileNotFoundError:
            names.pop()
        except OSError:
            self._enter(name)

    def _enter(self, name: str) -> None:
        try:
            below = self._open(name)
        except OSError:
            self._give_up()
            return
        about = os.fstat(self._at)
        os.close(self._at)
        self._at = below
        self._levels.append(_Level([], above=(about.st_dev, about.st_ino)))

    def _open(self, name: str) -> int:
        """Raises OSError if it is not a folder, belongs to another user, or is a mount, which must
        not be emptied."""
        found = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=self._at)
        try:
            if os.fstat(found).st_dev != os.fstat(self._at).st_dev:
                raise OSError("another file system")
            itself = f"/proc/self/fd/{found}"
            if not os.access(itself, os.R_OK | os.W_OK | os.X_OK):
                os.chmod(itself, 0o700)  # noqa: PTH101
            return os.open(itself, os.O_RDONLY | os.O_DIRECTORY)
        finally:
            os.close(found)

    def _up(self) -> None:
        """Returns to the folder above and removes the one it leaves. Raises OSError if the folder
        above is not the one that it came from."""
        above = os.open("..", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._at)
        about = os.fstat(above)
        os.close(self._at)
        self._at = above
        if (about.st_dev, about.st_ino) != self._levels.pop().above:
            raise OSError("moved away")
        try:
            os.rmdir(self._levels[-1].names[-1], dir_fd=self._at)
        except FileNotFoundError:
            pass
        except OSError:
            self._give_up(counted=not self._remaining)
            return
        self._levels[-1].names.pop()

    def _give_up(self, counted: bool = True) -> None:
        """`counted` is False for a folder that stays only because of an entry in it."""
        level = self._levels[-1]
        level.kept.add(level.names.pop())
        self._remaining += counted
