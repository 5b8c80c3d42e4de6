"""The roles of callers, from least to most."""

from enum import StrEnum


class Role(StrEnum):
    """What a caller may do. Each role may do what the role before it may, but for REGISTRAR, which
    registers workers and nothing else."""

    NONE = "none"
    VIEWER = "viewer"
    SUBMITTER = "submitter"
    OPERATOR = "operator"
    ADMIN = "admin"
    REGISTRAR = "registrar"
