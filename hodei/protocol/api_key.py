"""The API key of a caller: where it comes from, and to whom it is sent.

No flag takes a key: a command line is visible to all users of its host. The words of an error never
show anything of a key."""

import re
from collections.abc import Mapping

from hodei.protocol.small_file import read_at_most

VARIABLE, FILE_VARIABLE = "HODEI_API_KEY", "HODEI_API_KEY_FILE"

PLAINTEXT_VARIABLE = "HODEI_API_KEY_PLAINTEXT"
"""Set to 1, the key may travel over a network without encryption."""

MOST_BYTES = 1_000
"""Bytes of a file that holds a key. A longer file must be a different one."""

FORM = re.compile("hodei_[a-z]_[0-9A-Za-z_]{20,200}")


class BadKey(ValueError):
    """There is no key where one was expected, or it must not be sent. The message says why, in one
    line."""


def from_environment(environment: Mapping[str, str]) -> str | None:
    """The key in the file that HODEI_API_KEY_FILE names, or in HODEI_API_KEY; None: in neither.
    BadKey."""
    if path := environment.get(FILE_VARIABLE):
        return read(path, f"{FILE_VARIABLE} {path}")
    if text := environment.get(VARIABLE):
        return checked(text, VARIABLE)
    return None


def read(path: str, source: str) -> str:
    """The key in a file. BadKey: the file cannot be read, or holds none; `source` names it."""
    try:
        found = read_at_most(path, MOST_BYTES + 1)
    except OSError as error:
        raise BadKey(f"{source}: {error.strerror}") from None
    if len(found) > MOST_BYTES:
        raise BadKey(f"{source}: expected a file with an API key, got more than {MOST_BYTES} bytes")
    return checked(found.decode(errors="replace"), source)


def checked(text: str, source: str) -> str:
    """The key that a text is, without blanks around it. BadKey: it cannot be one."""
    key = text.strip()
    if not FORM.fullmatch(key):
        raise BadKey(
            f"{source}: expected an API key (hodei_…, as `hodei apikey create` prints it), got "
            + (f"{len(key)} characters of another form" if key else "nothing")
        )
    return key


def metadata(key: str | None) -> tuple[tuple[str, str], ...]:
    """What a call says of its key."""
    return (("authorization", f"Bearer {key}"),) if key else ()


def check_way(address: str, environment: Mapping[str, str], *, private: bool) -> None:
    """BadKey: a key must not be sent to this HOST:PORT. `private`: nobody else can read what is sent
    there."""
    if not private and environment.get(PLAINTEXT_VARIABLE) != "1":
        raise BadKey(
            f"the API key is not sent to {address} without encryption: use TLS (https://{address}),"
            f" or set {PLAINTEXT_VARIABLE}=1 where you trust the network"
        )
