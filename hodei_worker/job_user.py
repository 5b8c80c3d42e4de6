"""Whom this worker's jobs run as, in words for people."""

import os
import pwd

from hodei_worker.config import Settings

LONGEST = 200
"""Characters of a name that servers take."""


def job_user(settings: Settings) -> str:
    """A user's name, or its number where it has none; "root" for user 0, whatever its name is."""
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
        return str(uid)  # in a container a user may have none
