"""Secrets: their names, their bounds, and their values on the way to a worker."""

NAME = "^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"
NAME_SHAPE = "the name of a secret: up to 100 letters, digits, . _ -"

LEAST_BYTES, MOST_BYTES = 8, 65_536
"""Bytes of a value. A shorter one, which is found in everything that a job writes, is taken only
when it is asked for."""

MOST_OF_A_JOB = 32
"""Different secrets that a job may name."""

MOST_BYTES_OF_A_JOB = 262_144
"""Bytes of all values that a job is given. With more the attempt does not start."""


class SecretValues(dict[str, str]):
    """Values by the names of their secrets. They are never printed, whatever prints a record that
    has them."""

    def __repr__(self) -> str:
        return f"<values of {len(self)} secrets>"

    __str__ = __repr__
