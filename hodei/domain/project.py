"""Projects: a boundary between the jobs of those who call servers. Each job belongs to one, for
ever."""

import re

from hodei.domain.errors import Invalid

DEFAULT = "default"
"""The project of jobs for which none was named."""

NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
"""The form of a name; project_grants in schema.sql has it too."""

NAME_SHAPE = "1 to 63 letters, digits and . _ -, with a letter or a digit first"


def checked(name: str) -> str:
    """Returns the name of a project. Invalid: it cannot be one."""
    if not NAME.fullmatch(name):
        raise Invalid(f"project: expected {NAME_SHAPE}, got {name[:80]!r}")
    return name
