"""Whether a refusal of PostgreSQL is a row's, or would meet every row."""

import psycopg

from hodei.store import sqlstate
from hodei.store.catalog import expected

RULES = ("0A000", "RewriteQuery")
"""State and place of the error for a statement on a table that has rules of somebody else."""


def fails_for_all(error: BaseException) -> bool:
    """Returns whether the refusal has nothing to do with the row: the numbers of a sequence are at
    their end or were given already, a partition is missing, or somebody has put a rule on a table of
    ours, or a column that must have a value."""
    if not isinstance(error, psycopg.Error):
        return False
    state, constraint = error.sqlstate, error.diag.constraint_name
    return (
        state == sqlstate.USED_UP
        or (state == "23505" and constraint == "leases_pkey")
        or (state == "23514" and not constraint)
        or (state, error.diag.source_function) == RULES
        or (state == "23502" and _is_of_somebody_else(error.diag))
    )


def _is_of_somebody_else(column: psycopg.errors.Diagnostic) -> bool:
    """Returns whether a column that got no value is none of ours. The table may be a partition."""
    return not any(column.column_name in columns for columns in expected()["tables"].values())
