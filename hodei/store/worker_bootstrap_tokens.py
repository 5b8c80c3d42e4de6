"""One-time tokens for new workers: minted here or by INSERT, redeemed once, and named everywhere
else by their fingerprint."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from hodei.domain.actor import on_behalf_of, said_by
from hodei.domain.token import NIL_ID, TokenState
from hodei.store.database import Connection
from hodei.store.statements import rows

REDEEMED_AT_ONCE_S = 60.0
"""Life of a token that is redeemed in the transaction in which it is minted."""


class Newcomer(NamedTuple):
    """A worker that registers."""

    worker_id: uuid.UUID
    credential_sha256: bytes
    name: str
    version: str  # of its software


# A token without a worker's id never gives out an id that has another secret; a token bound to that
# id may, unless it is minted for a registrar (`takes_over` false).
REDEEM = """
WITH redeemed AS (
    UPDATE worker_bootstrap_tokens t
    SET consumed_at = clock_timestamp(),
        consumed_by = %(worker)s
    WHERE t.token = %(token)s
      AND t.consumed_at IS NULL
      AND t.revoked_at IS NULL
      AND t.expires_at > clock_timestamp()
      AND t.worker_id IN (%(nil)s::uuid, %(worker)s)
      AND ((t.worker_id = %(worker)s AND %(takes_over)s::boolean)
           OR NOT EXISTS (
               SELECT
               FROM workers w
               WHERE w.id = %(worker)s
                 AND (w.credential_sha256 IS DISTINCT FROM %(credential)s
                      OR w.revoked_at IS NOT NULL)))
    RETURNING t.token
), registered AS (
    INSERT INTO workers AS w (id, name, version, credential_sha256)
    SELECT %(worker)s, %(name)s, %(version)s, %(credential)s
    FROM redeemed
    ON CONFLICT (id) DO UPDATE
    SET credential_sha256 = excluded.credential_sha256,
        revoked_at = NULL,
        connected = false,
        session = w.session + 1,
        updated_at = greatest(clock_timestamp(), w.updated_at + interval '1 microsecond')
    RETURNING w.id, w.updated_at
), story AS (
    INSERT INTO domain_events (
        occurred_at, event_type, aggregate_id, correlation_id, actor, worker_id, payload)
    SELECT r.updated_at, 'WorkerRegistered', r.id::text, r.id::text, 'worker:' || r.id, r.id,
           jsonb_build_object(
               'worker_id', r.id,
               'new_status', 'Registering',
               'token_id', hodei_token_fingerprint(%(token)s))
    FROM registered r
    UNION ALL
    SELECT clock_timestamp(), 'TokenConsumed', hodei_token_fingerprint(t.token),
           hodei_token_fingerprint(t.token), 'worker:' || %(worker)s::text, %(worker)s,
           jsonb_build_object(
               'token_id', hodei_token_fingerprint(t.token),
               'worker_id', %(worker)s::uuid)
    FROM redeemed t
)
SELECT r.id
FROM registered r
"""

# The same token, worker and secret again succeed: the first reply may have been lost.
REDEEMED_BEFORE = """
SELECT w.id
FROM worker_bootstrap_tokens t
JOIN workers w ON w.id = t.consumed_by
WHERE t.token = %(token)s
  AND t.consumed_by = %(worker)s
  AND w.credential_sha256 = %(credential)s
  AND w.revoked_at IS NULL
"""


async def redeem(conn: Connection, token: uuid.UUID, newcomer: Newcomer) -> bool:
    """Redeems a token. True: the worker is registered under this credential, now or by the same
    call before."""
    parameters = _of(newcomer) | {"token": token, "takes_over": True}
    return bool(
        await rows(conn, REDEEM, parameters) or await rows(conn, REDEEMED_BEFORE, parameters)
    )


REGISTERED = """
SELECT w.id
FROM workers w
WHERE w.id = %(worker)s
  AND w.credential_sha256 = %(credential)s
  AND w.revoked_at IS NULL
"""


async def mint_and_redeem(conn: Connection, newcomer: Newcomer, actor: str) -> bool:
    """Registers a worker that has no token: mints one for `actor`, bound to the worker's id, and
    redeems it, so that tokens and events tell how each worker came in. It belongs into one
    transaction. True: the worker is registered under this credential, now or before. False: its id
    has another credential, or was revoked; nothing may be committed."""
    parameters = _of(newcomer)
    if await rows(conn, REGISTERED, parameters):
        return True  # the reply to the same call before was lost
    token = await mint(conn, newcomer.worker_id, REDEEMED_AT_ONCE_S, actor)
    parameters |= {"token": token.token, "takes_over": False}
    return bool(await rows(conn, REDEEM, parameters))


def _of(newcomer: Newcomer) -> dict[str, Any]:
    return {
        "worker": newcomer.worker_id,
        "credential": newcomer.credential_sha256,
        "name": newcomer.name[:200],
        "version": newcomer.version[:50],
        "nil": NIL_ID,
    }


@dataclass(frozen=True, slots=True)
class Token:
    """A row of worker_bootstrap_tokens as the API shows it."""

    token: uuid.UUID
    token_id: str
    worker_id: uuid.UUID
    created_at: int  # times are microseconds since 1970
    expires_at: int
    consumed_at: int | None
    consumed_by: uuid.UUID | None
    state: TokenState


def _token(row: Sequence[Any]) -> Token:
    fields = [*row]
    fields[-1] = TokenState(row[-1])
    return Token(*fields)


MINT = """
INSERT INTO worker_bootstrap_tokens AS t (worker_id, expires_at, created_by, on_behalf_of)
VALUES (
    %(worker)s::uuid,
    clock_timestamp() + make_interval(secs => %(ttl_s)s::float8),
    %(actor)s::text,
    nullif(%(on_behalf_of)s::text, ''))
RETURNING t.token, hodei_token_fingerprint(t.token), t.worker_id, t.created_at, t.expires_at,
          t.consumed_at, t.consumed_by, 'USABLE'
"""


async def mint(conn: Connection, worker_id: uuid.UUID, ttl_s: float, actor: str) -> Token:
    """Makes a token. `worker_id` NIL_ID: any worker may redeem it."""
    parameters = {
        "worker": worker_id,
        "ttl_s": ttl_s,
        "actor": actor,
        "on_behalf_of": on_behalf_of(actor),
    }
    (minted,) = await rows(conn, MINT, parameters)
    return _token(minted)


LIST = """
SELECT t.token, hodei_token_fingerprint(t.token), t.worker_id, t.created_at, t.expires_at,
       t.consumed_at, t.consumed_by,
       CASE
           WHEN t.consumed_at IS NOT NULL THEN 'CONSUMED'
           WHEN t.revoked_at IS NOT NULL THEN 'REVOKED'
           WHEN t.expires_at <= clock_timestamp() THEN 'EXPIRED'
           ELSE 'USABLE'
       END
FROM worker_bootstrap_tokens t
ORDER BY t.created_at DESC
LIMIT 1001
"""


class Tokens(NamedTuple):
    """Tokens, newest first."""

    tokens: list[Token]
    more: bool  # there are older ones


async def list_newest(conn: Connection) -> Tokens:
    """Returns the newest tokens, 1,000 at most."""
    found = [_token(row) for row in await rows(conn, LIST)]
    return Tokens(found[:1000], len(found) > 1000)


REVOKE = """
WITH revoked AS (
    UPDATE worker_bootstrap_tokens t
    SET revoked_at = clock_timestamp(),
        expires_at = least(t.expires_at, clock_timestamp())
    WHERE (t.token::text = %(which)s OR hodei_token_fingerprint(t.token) = %(which)s)
      AND t.consumed_at IS NULL
      AND t.revoked_at IS NULL
    RETURNING t.token, t.worker_id, t.created_at, t.expires_at, t.consumed_at, t.consumed_by
), story AS (
    INSERT INTO domain_events (
        occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
    SELECT clock_timestamp(), 'TokenRevoked', hodei_token_fingerprint(r.token),
           hodei_token_fingerprint(r.token), %(actor)s,
           jsonb_build_object('token_id', hodei_token_fingerprint(r.token)) || %(said)s::jsonb
    FROM revoked r
)
SELECT r.token, hodei_token_fingerprint(r.token), r.worker_id, r.created_at, r.expires_at,
       r.consumed_at, r.consumed_by, 'REVOKED'
FROM revoked r
"""


async def revoke(conn: Connection, which: str, actor: str) -> Token | None:
    """Revokes a token, named by itself or by its fingerprint. None: there is no usable one."""
    found = await rows(conn, REVOKE, {"which": which, "actor": actor, "said": said_by(actor)})
    return _token(found[0]) if found else None


STATE = """
SELECT CASE
           WHEN t.consumed_at IS NOT NULL THEN 'CONSUMED'
           WHEN t.revoked_at IS NOT NULL THEN 'REVOKED'
           WHEN t.expires_at <= clock_timestamp() THEN 'EXPIRED'
           ELSE 'USABLE'
       END
FROM worker_bootstrap_tokens t
WHERE t.token::text = %(which)s
   OR hodei_token_fingerprint(t.token) = %(which)s
LIMIT 1
"""


async def state(conn: Connection, which: str) -> TokenState | None:
    """Returns the state of a token, named by itself or by its fingerprint. None: there is none."""
    found = await rows(conn, STATE, {"which": which})
    return TokenState(found[0][0]) if found else None


COUNT_USABLE = """
SELECT count(*)
FROM worker_bootstrap_tokens
WHERE consumed_at IS NULL
  AND expires_at > clock_timestamp()
"""


async def count_usable(conn: Connection) -> int:
    """Returns how many tokens may be redeemed now."""
    count: int = (await rows(conn, COUNT_USABLE))[0][0]
    return count
