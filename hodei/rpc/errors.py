"""Errors as gRPC statuses, in one table; a fault of ours is INTERNAL and shows nothing."""

import grpc

from hodei.access.errors import known
from hodei.domain import api_key, errors

STATUS: dict[type[errors.HodeiError], grpc.StatusCode] = {
    errors.Invalid: grpc.StatusCode.INVALID_ARGUMENT,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.Conflict: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Duplicate: grpc.StatusCode.ALREADY_EXISTS,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.Forbidden: grpc.StatusCode.PERMISSION_DENIED,
    errors.Aborted: grpc.StatusCode.ABORTED,
    errors.Unavailable: grpc.StatusCode.UNAVAILABLE,
    errors.Exhausted: grpc.StatusCode.RESOURCE_EXHAUSTED,
}


def status_of(error: BaseException) -> tuple[grpc.StatusCode, str]:
    """The status of a call that ended with this error, and its words."""
    error_for_caller = known(error)
    if error_for_caller is None:
        return grpc.StatusCode.INTERNAL, "internal error: the server's log says more"
    (status,) = (status for kind, status in STATUS.items() if isinstance(error_for_caller, kind))
    return status, api_key.hidden(str(error_for_caller))
