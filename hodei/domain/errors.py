"""The few kinds of error that callers can tell apart. Messages say what was wrong, which id, what
was expected, what to do.

hodei/rpc/errors.py maps each kind to a gRPC status; anything that is not a HodeiError is a bug of
ours and shows as INTERNAL."""


class HodeiError(Exception):
    """The base: its text is meant for the person who made the call."""


class Invalid(HodeiError):
    """The request itself is wrong: nothing was done, and the same request will fail again."""


class NotFound(HodeiError):
    """There is no such job, worker or token."""


class Conflict(HodeiError):
    """The thing is in another state than the request needs: already final, or another spec has this
    id."""


class Duplicate(HodeiError):
    """Another one with this identity is live."""


class Unauthenticated(HodeiError):
    """There is no valid credential or token. The text is the same whatever the cause, so that
    nobody can probe for tokens."""


class Forbidden(HodeiError):
    """Who calls is known, and may not do this."""


class Revoked(Unauthenticated):
    """The credential is right, and was revoked: waiting is of no use."""


class Unavailable(HodeiError):
    """The database does not answer now, or this server is shutting down; the same request may
    succeed later or elsewhere."""


class Locked(Unavailable):
    """A row cannot be read or written now, and others can: somebody else's transaction holds a lock
    on it, or a trigger of somebody does not come to its end."""


class Aborted(HodeiError):
    """Nothing is wrong with this part of the call; it was not done because another part was
    refused."""


class Exhausted(HodeiError):
    """A bound of this server is reached, in all or for this caller. Nothing was done, and the same
    request may succeed in a moment."""


def forget_frames(error: BaseException | None) -> None:
    """Drops the frames of an error that is kept: in a cycle with one of them it would hold all that
    they hold, as the request of its call, until the garbage collector comes."""
    while error:
        error.__traceback__ = None
        error = error.__cause__ or error.__context__
