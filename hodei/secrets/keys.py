"""The keys of a server, from the files that --secret-key-file names: the first encrypts, all
decrypt. AES-256-GCM; project, name and version are bound to each value, so that no row can take
another one's place.

A value is lost when the last file with its key is."""

import hashlib
import json
import os
import re
from collections.abc import Sequence
from typing import Any

from hodei.domain.errors import HodeiError, Invalid
from hodei.protocol.small_file import read_at_most
from hodei.store.secrets import Sealed

KEY_BYTES = 32

NONCE_BYTES = 12
"""Random bytes before each ciphertext. One key is good for some 2**32 of them."""

_HEX = re.compile(rb"[0-9a-fA-F]{64}\s*")


class NoKey(HodeiError):
    """This server does not have the key that a value is encrypted with."""


class Damaged(HodeiError):
    """A row is not what was encrypted."""


class SecretKeys:
    """The keys of a server; there may be none."""

    def __init__(self, keys: Sequence[bytes] = ()) -> None:
        self._keys: dict[str, Any] = {}  # by id, the first one first
        for key in keys:
            from cryptography.hazmat.primitives.ciphers.aead import AESGCM

            self._keys.setdefault(key_id(key), AESGCM(key))

    @property
    def ids(self) -> list[str]:
        return list(self._keys)

    @property
    def first(self) -> str:
        """The id of the key that encrypts; empty: there is none."""
        return next(iter(self._keys), "")

    def seal(self, project: str, name: str, version: int, value: str) -> Sealed:
        nonce = os.urandom(NONCE_BYTES)
        bound = _bound(project, name, version)
        text = self._keys[self.first].encrypt(nonce, value.encode(), bound)
        return Sealed(project, name, version, self.first, nonce + text)

    def open(self, row: Sealed) -> str:
        """Returns the value. NoKey; Damaged."""
        from cryptography.exceptions import InvalidTag

        if (key := self._keys.get(row.key_id)) is None:
            raise NoKey(
                f"this server does not have the key {row.key_id} of secret {row.name}:"
                " it is started without that --secret-key-file"
            )
        nonce, text = row.sealed[:NONCE_BYTES], row.sealed[NONCE_BYTES:]
        try:
            value: bytes = key.decrypt(nonce, text, _bound(*row[:3]))
            return value.decode()
        except (InvalidTag, ValueError):
            raise Damaged(
                f"secret {row.name} of project {row.project} is not what was encrypted:"
                " its row was changed; set it again"
            ) from None


def key_id(key: bytes) -> str:
    """Returns the name of a key, from which it cannot be found."""
    return hashlib.sha256(b"hodei secret key" + key).hexdigest()[:16]


def _bound(project: str, name: str, version: int) -> bytes:
    return json.dumps(["hodei secret", project, name, version]).encode()


def read(paths: Sequence[str]) -> SecretKeys:
    """Reads the files. Invalid: one cannot be read, or holds no key."""
    return SecretKeys([_read(path) for path in paths])


def _read(path: str) -> bytes:
    try:
        text = read_at_most(path, 200)
    except OSError as error:
        raise Invalid(f"--secret-key-file {path}: {error.strerror}") from None
    if len(text) == KEY_BYTES:
        return text
    if _HEX.fullmatch(text):
        return bytes.fromhex(text.decode())
    raise Invalid(
        f"--secret-key-file {path}: expected {KEY_BYTES} bytes or {2 * KEY_BYTES} hex digits, as of"
        f" `openssl rand -hex {KEY_BYTES}`; got {'more than 199' if len(text) == 200 else len(text)}"
        " bytes"
    )
