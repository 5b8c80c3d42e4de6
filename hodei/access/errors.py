"""Whatever goes wrong in a call, as one of our kinds of error, for each way in to put into its
words."""

from loguru import logger

from hodei.domain.errors import Conflict, HodeiError, Unavailable
from hodei.store import faults, sqlstate


def known(error: BaseException) -> HodeiError | None:
    """The error that callers are told. None: it is a fault of ours, which was logged with its
    traceback, and callers are told no more than that."""
    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        return known(error.exceptions[0])
    if isinstance(error, HodeiError):
        return error
    if sqlstate.of_a_row(error):
        words = f"PostgreSQL refuses this: {sqlstate.primary(error)}"
        logger.bind(component="Calls").warning("{}", words)
        return Conflict(words)
    if faults.fails_for_all(error):
        words = f"the database refuses all such calls ({sqlstate.primary(error)})"
        logger.bind(component="Calls").warning("{}", words)
        return Unavailable(f"{words}; `hodei db check` may say why")
    logger.opt(exception=error).error("a call failed by a fault of the server")
    return None
