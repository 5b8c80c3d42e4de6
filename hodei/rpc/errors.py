"""Errors as gRPC statuses, in one table; whatever is not a HodeiError is INTERNAL: logged with its
traceback, shown as nothing."""

import grpc
from loguru import logger

from hodei.domain import errors
from hodei.store import sqlstate

STATUS: dict[type[errors.HodeiError], grpc.StatusCode] = {
    errors.Invalid: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.Conflict: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Duplicate: grpc.StatusCode.ALREADY_EXISTS,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.Aborted: grpc.StatusCode.ABORTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.Exhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
}


def status_of(error: BaseException) -> tuple[grpc.StatusCode, str]:
    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        return status_of(error.exceptions[0])
    for kind, status in STATUS.items():
        if isinstance(error, kind):
            return status, str(error)
    if sqlstate.of_a_row(error):
        words = f"PostgreSQL refuses this: {sqlstate.primary(error)}"
        logger.bind(component="Calls").warning("{}", words)
        return grpc.StatusCode.FAILED_PRECONDITION, words
    logger.opt(exception=error).error("a call failed by a fault of the server")
    return grpc.StatusCode.INTERNAL, "internal error: the server's log says more"
