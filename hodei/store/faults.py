"""Whether a refusal of PostgreSQL is a row's, or would meet every row."""

import re

import psycopg

from hodei.domain.errors import HodeiError, Invalid, Unavailable
from hodei.store import sqlstate
from hodei.store.expected import expected

RULES = ("0A000", "RewriteQuery")
"""State and place of the error for a statement on a table that has rules of somebody else."""

NOT_TWICE = ("23505", "23P01")
"""States in which a row is refused for the sake of another one."""


def fails_for_all(error: BaseException) -> bool:
    """Returns whether the refusal has nothing to do with the row: the numbers of a sequence are at
    their end or were given already, a partition is missing, or somebody has put a rule on a table of
    ours, or a column that must have a value, or has made leases unique by something else: the same
    job is claimed when another one has ended."""
    if not isinstance(error, psycopg.Error):
        return False
    state, constraint = error.sqlstate, error.diag.constraint_name
    return (
        state == sqlstate.USED_UP
        or (state == "23505" and constraint == "leases_pkey")
        or (state == "23514" and not constraint)
        or (state, error.diag.source_function) == RULES
        or (state == "23502" and _is_of_somebody_else(error.diag))
        or (state in NOT_TWICE and error.diag.table_name == "leases" and bool(_by_whom(error)))
    )


def _is_of_somebody_else(column: psycopg.errors.Diagnostic) -> bool:
    """Returns whether a column that got no value is none of ours. The table may be a partition."""
    return not any(column.column_name in columns for columns in expected()["tables"].values())


def refusal(error: BaseException) -> HodeiError:
    """Returns the refusal of a job's row in words for who sends the job: the database takes no job
    now, or this one is refused, and by whom if not by a rule of ours."""
    if fails_for_all(error):
        return Unavailable(
            f"the database refuses all jobs ({sqlstate.primary(error)});"
            " `hodei db check` may say why"
        )
    return Invalid(f"PostgreSQL refuses this job: {sqlstate.primary(error)}{_by_whom(error)}")


DAY = re.compile(r"_\d{8}")
"""What the keys of a day have in their names."""


def _by_whom(error: BaseException) -> str:
    if not isinstance(error, psycopg.Error) or not (name := error.diag.constraint_name):
        return ""
    ours = (key for kind in ("constraints", "indexes") for key in expected()[kind])
    if DAY.sub("", name) in {key.partition(".")[2] for key in ours}:
        return ""
    return f" (constraint {name} of table {error.diag.table_name} is not Hodei's)"
