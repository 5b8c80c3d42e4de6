"""The form of an API key: `hodei_<role letter>_<id>_<secret><checksum>`.

The prefix lets scanners of source code find keys that were committed. The checksum tells a key that
was mistyped or cut off from one that is not valid. A double click selects the whole of a key."""

import hashlib
import hmac
import re
import secrets
import zlib
from enum import StrEnum
from typing import NamedTuple

ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

ID_LENGTH = 12
SECRET_LENGTH = 43
"""Characters of 62 kinds that hold 256 bits."""

CHECKSUM_LENGTH = 6
"""Characters of 62 kinds that hold a CRC-32."""


class KeyState(StrEnum):
    """Whether a key is valid, or why it is not."""

    USABLE = "USABLE"
    REVOKED = "REVOKED"
    EXPIRED = "EXPIRED"


FORM = re.compile(
    f"hodei_([a-z])_([0-9a-z]{{{ID_LENGTH}}})"
    f"_([0-9A-Za-z]{{{SECRET_LENGTH}}})([0-9A-Za-z]{{{CHECKSUM_LENGTH}}})"
)

LENGTH = len("hodei_r_") + ID_LENGTH + len("_") + SECRET_LENGTH + CHECKSUM_LENGTH
"""Characters of a key."""

ANY = re.compile(f"(hodei_[a-z]_)([0-9a-z]{{{ID_LENGTH}}})_[0-9A-Za-z]+")
"""What was meant as a key, wherever it stands in a text: also one that was mistyped or cut off."""

ID = re.compile(f"[0-9a-z]{{{ID_LENGTH}}}")

LONGEST_S = 315_576_000.0
"""Seconds for which a key may be valid, unless it does not expire: ten years."""

NAME = re.compile("[A-Za-z0-9][A-Za-z0-9._@/+-]{0,62}")
NAME_SHAPE = "1 to 63 letters, digits and . _ @ / + -, with a letter or a digit first"


class ApiKey(NamedTuple):
    """A key that was made or given. Only `id` may be shown or logged."""

    letter: str  # the first letter of its role, for people; nothing is decided by it
    id: str
    secret: str

    @property
    def text(self) -> str:
        """The key itself."""
        body = f"hodei_{self.letter}_{self.id}_{self.secret}"
        return body + _checksum(body)

    @property
    def sha256(self) -> bytes:
        """What is stored of the secret. 256 random bits need no slow hash."""
        return hashlib.sha256(self.secret.encode()).digest()

    def fits(self, stored: bytes) -> bool:
        """Returns whether this is the hash of the key's secret, in a time that does not tell how
        much of it is right."""
        return hmac.compare_digest(self.sha256, stored)


def id_of(text: str) -> str | None:
    """The id in the text of a key, right or wrong; None: it is no such text."""
    found = ANY.fullmatch(text.strip())
    return found[2] if found else None


def hidden(text: str) -> str:
    """A text in which nothing is left of keys but their ids."""
    return ANY.sub(r"\1\2_…", text) if "hodei_" in text else text


def make(role: str) -> ApiKey:
    """Returns a new key for a role."""
    id_ = "".join(secrets.choice("0123456789abcdefghijklmnopqrstuvwxyz") for _ in range(ID_LENGTH))
    return ApiKey(role[0], id_, _in_base_62(secrets.randbits(256), SECRET_LENGTH))


def parse(text: str) -> ApiKey | None:
    """Returns what a text says that has the form of a key and the right checksum; else None."""
    found = FORM.fullmatch(text)
    if found is None or _checksum(text[:-CHECKSUM_LENGTH]) != found[4]:
        return None
    return ApiKey(found[1], found[2], found[3])


def _checksum(body: str) -> str:
    return _in_base_62(zlib.crc32(body.encode()), CHECKSUM_LENGTH)


def _in_base_62(number: int, length: int) -> str:
    digits = []
    for _ in range(length):
        number, digit = divmod(number, len(ALPHABET))
        digits.append(ALPHABET[digit])
    return "".join(reversed(digits))
