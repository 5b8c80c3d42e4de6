"""A worker redeems a bootstrap token, once, or is registered by the key of a registrar. From then on
its own secret is its credential, of which only the hash is stored."""

import hashlib
import re
import uuid

from loguru import logger

from hodei.access.principal import Principal
from hodei.access.roles import Role
from hodei.domain.errors import Forbidden, Invalid, Unauthenticated
from hodei.store import worker_bootstrap_tokens as tokens
from hodei.store.database import Connection, Database
from hodei.store.worker_bootstrap_tokens import Newcomer

CONTROLS_OR_NUL = re.compile("[\x00-\x1f\x7f-\x9f]")

INVALID_TOKEN = "Invalid OTP token: OTP token must be a UUID"  # noqa: S105  the guide's words
REJECTED_TOKEN = "Invalid OTP token: Token not found, expired, or already consumed"  # noqa: S105  one answer for all three
TAKEN_ID = "this worker's id is not free: another worker has it, or it was revoked"


def fingerprint(secret: bytes) -> bytes:
    """The hash that is stored of a worker's secret. 256 random bits need no slow hash."""
    return hashlib.sha256(secret).digest()


class Registration:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def register(self, token: str, newcomer: Newcomer, who: Principal) -> None:
        """Registers a worker: by its token, or without one by the API key of a registrar.

        Invalid: the token is no UUID, or missing and the caller has no key; the hash does not have
        32 bytes; the name or the version has control characters. Unauthenticated: the token is
        unknown, expired, used, or for another worker; or the id belongs to another worker.
        Forbidden: the caller's key has another role."""
        _check(newcomer)
        if token or not who.actor.startswith("api:"):
            await self._redeem(_uuid(token), newcomer)
        else:
            await self._register_by_key(newcomer, who)
        logger.bind(component="WorkerMonitor", worker_id=newcomer.worker_id).info(
            "Worker registered successfully"
        )

    async def _redeem(self, token: uuid.UUID, newcomer: Newcomer) -> None:
        if not await self._database.transact(lambda conn: tokens.redeem(conn, token, newcomer)):
            raise Unauthenticated(REJECTED_TOKEN)

    async def _register_by_key(self, newcomer: Newcomer, who: Principal) -> None:
        if who.role is not Role.REGISTRAR:
            raise Forbidden(
                f"the API key {who.actor.removeprefix('api:')} has the role {who.role}: expected"
                f" {Role.REGISTRAR} to register a worker without a token"
            )

        async def work(conn: Connection) -> None:
            if not await tokens.mint_and_redeem(conn, newcomer, who.actor):
                raise Unauthenticated(TAKEN_ID)  # which takes the minted token back

        await self._database.transact(work)


def _check(newcomer: Newcomer) -> None:
    if CONTROLS_OR_NUL.search(newcomer.name + newcomer.version):
        raise Invalid("name, version: expected text without control characters")
    if newcomer.worker_id.int == 0:
        raise Invalid(
            "worker_id: expected a worker's own UUID, got the nil UUID, which means any worker"
        )
    if len(newcomer.credential_sha256) != 32:
        raise Invalid(f"secret_sha256: expected 32 bytes, got {len(newcomer.credential_sha256)}")


def _uuid(token: str) -> uuid.UUID:
    try:
        return uuid.UUID(token)
    except ValueError:
        raise Invalid(INVALID_TOKEN) from None
