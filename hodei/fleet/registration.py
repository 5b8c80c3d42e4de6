"""A bootstrap token redeemed once: afterwards the worker's own secret is its credential, and only
the secret's hash is stored."""

import hashlib
import re
import uuid

from hodei.domain.errors import Invalid, Unauthenticated
from hodei.store import worker_bootstrap_tokens as tokens
from hodei.store.database import Database

CONTROLS_OR_NUL = re.compile("[\x00-\x1f\x7f-\x9f]")

INVALID_TOKEN = "Invalid OTP token: OTP token must be a UUID"  # noqa: S105  the guide's words
REJECTED_TOKEN = "Invalid OTP token: Token not found, expired, or already consumed"  # noqa: S105  one answer for all three


def fingerprint(secret: bytes) -> bytes:
    """What is stored of a worker's secret. 256 random bits need no slow hash."""
    return hashlib.sha256(secret).digest()


async def register(
    database: Database,
    token: str,
    worker_id: uuid.UUID,
    credential_sha256: bytes,
    name: str,
    version: str,
) -> None:
    """Invalid: the token is no UUID, or the hash is not 32 bytes. Unauthenticated: unknown,
    expired, used, or for another worker."""
    if CONTROLS_OR_NUL.search(name + version):
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
    if not await database.transact(
        lambda conn: tokens.redeem(conn, key, worker_id, credential_sha256, name, version)
    ):
        raise Unauthenticated(REJECTED_TOKEN)
