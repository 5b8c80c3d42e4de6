"""How the programs read a file that holds a key, a token, a certificate or a URL."""

import errno
import os
import stat


def read_at_most(path: str, most: int) -> bytes:
    """The first bytes of a file, `most` at most. OSError says why it cannot be read; also of what is
    no regular file: a pipe would be waited for, and could be read only once."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except ValueError as error:  # a NUL in the name
        raise OSError(errno.EINVAL, str(error), path) from None
    try:
        kind = os.fstat(handle).st_mode
        if stat.S_ISDIR(kind):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
        if not stat.S_ISREG(kind):
            raise OSError(errno.EINVAL, "expected a file, got something else", path)
        parts, left = [], most
        while left and (part := os.read(handle, left)):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)
    finally:
        os.close(handle)
