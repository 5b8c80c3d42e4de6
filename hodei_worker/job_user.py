"""The name of the user that this worker's jobs run as, to be shown."""

import os
import pwd

from hodei_worker.config import Settings

LONGEST = 200
"""Characters of a name; servers accept no longer one."""


def job_user(settings: Settings) -> str:
    """Returns the user's name, its number if it has no name, or "root" for user 0 in any case; empty
    if no job of this worker is a process on its host."""
    if not settings.processes:
        return ""
    uid = os.geteuid()
    if settings.job_user is not None:
        uid = pwd.getpwnam(settings.job_user).pw_uid
    if uid == 0:
        return "root"
    if settings.job_user is not None:
        return settings.job_user[:LONGEST]
    try:
        return pwd.getpwuid(uid).pw_name[:LONGEST]
    except KeyError:
        return str(uid)  # in a container a user may have no name
