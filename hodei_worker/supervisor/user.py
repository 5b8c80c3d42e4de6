"""The user that jobs run as."""

import os
import pwd
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class JobUser:
    name: str
    uid: int
    gid: int
    home: str | None  # None: the folder did not exist

    @classmethod
    def named(cls, name: str) -> "JobUser":
        """Looks for the home folder now, and not for each job: it may be on a file system that does
        not answer later."""
        entry = pwd.getpwnam(name)
        home = entry.pw_dir if Path(entry.pw_dir).is_dir() else None
        return cls(entry.pw_name, entry.pw_uid, entry.pw_gid, home)

    @property
    def groups(self) -> list[int]:
        return os.getgrouplist(self.name, self.gid)

    def first_closed_folder(self, path: Path) -> Path | None:
        """Returns the first folder on the way to `path` (included) that this user may not enter;
        None if there is none."""
        for folder in (*reversed(path.parents), path):
            about = folder.stat()
            if about.st_uid == self.uid:
                bit = 0o100
            elif about.st_gid in self.groups:
                bit = 0o010
            else:
                bit = 0o001
            if not about.st_mode & bit:
                return folder
        return None
