"""The file of passwords that a database URL or the environment names."""

import os
import stat
from collections.abc import Mapping

from hodei.domain.errors import Invalid

INSTEAD = ("PGPASSWORD", "PGSERVICE")
"""Variables that may have a password themselves."""


def check(parts: Mapping[str, object], environment: Mapping[str, str]) -> None:
    """Invalid: the named file would be used, and is open to others. libpq does without it, and writes
    lines about that to standard error, past the log. `parts`: those of the URL."""
    named = str(parts.get("passfile") or environment.get("PGPASSFILE") or "")
    others = (parts.get("password"), parts.get("service"), *map(environment.get, INSTEAD))
    if not named or any(others):
        return
    try:
        mode = os.stat(named).st_mode  # noqa: PTH116  the name as libpq takes it
    except (OSError, ValueError):
        return
    if stat.S_ISREG(mode) and mode & 0o077:
        raise Invalid(
            f"password file {named}: expected one that only its user may read, as libpq takes no"
            f" other; run chmod 600 {named}"
        )
