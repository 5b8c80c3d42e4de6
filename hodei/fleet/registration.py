"""A worker redeems a bootstrap token, once. From then on its own secret is its credential, of which
only the hash is stored."""

import hashlib
import re
import uuid

from loguru import logger

from hodei.domain.errors import Invalid, Unauthenticated
from hodei.store import worker_bootstrap_tokens as tokens
from hodei.store.database import Database

CONTROLS_OR_NUL = re.compile("[\x00-\x1f\x7f-\x9f]")

INVALID_TOKEN = "Invalid OTP token: OTP token must be a UUID"  # noqa: S105  the guide's words
REJECTED_TOKEN = "Invalid OTP token: Token not found, expired, or already consumed"  # noqa: S105  one answer for all three


def fingerprint(secret: bytes) -> bytes:
    """The hash that is stored of a worker's secret. 256 random bits need no slow hash."""
    return hashlib.sha256(secret).digest()


class Registration:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(
        self,
        token: str,
        worker_id: uuid.UUID,
        credential_sha256: bytes,
        name: str,
        version: str,
    ) -> None:
        """Redeems the token for a worker.

        Invalid: the token is no UUID, the hash does not have 32 bytes, the name or the version has
        control characters. Unauthenticated: the token is unknown, expired, used, or for another
        worker."""
        key = _checked(token, worker_id, credential_sha256, name + version)
        if not await self._database.transact(
            lambda conn: tokens.redeem(conn, key, worker_id, credential_sha256, name, version)
        ):
            raise Unauthenticated(REJECTED_TOKEN)
        logger.bind(component="WorkerMonitor", worker_id=worker_id).info(
            "Worker registered successfully"
        )


def _checked(token: str, worker_id: uuid.UUID, credential_sha256: bytes, text: str) -> uuid.UUID:
    """The token, as a UUID."""
    if CONTROLS_OR_NUL.search(text):
        raise Invalid("name, version: expected text without control characters")
    try:
        key = uuid.UUID(token)
    except ValueError:
        raise Invalid(INVALID_TOKEN) from None
    if worker_id.int == 0:
        raise Invalid(
            "worker_id: expected a worker's own UUID, got the nil UUID, which means any worker"
        )
    if len(credential_sha256) != 32:
        raise Invalid(f"secret_sha256: expected 32 bytes, got {len(credential_sha256)}")
    return key
