"""What must be done after the database was restored to an earlier time, before servers use it again.

The rows say what was true then. What was done later is known to nobody but the workers: they may hold
leases with numbers that the restored sequence would give again, and tokens that were redeemed since
look unused."""

from typing import Any, LiteralString, NamedTuple

from hodei.store.audit_events import AuditKind
from hodei.store.connecting import Connection, connect, in_words
from hodei.store.untimed import untimed

NAME = "hodei restored"
"""The application_name of our connection."""


class Restored(NamedTuple):
    """What was done."""

    next_lease: int
    tokens: int
    providers: list[str]
    servers: int  # that were there already


# Nobody draws a number between the look at the sequence and its move: ALTER SEQUENCE waits for those
# that do, and keeps others out until the end of the transaction. Only an owner may do it.
STOP_CLAIMS: LiteralString = """
SET LOCAL lock_timeout = '5s';
ALTER SEQUENCE hodei_lease_seq OWNED BY NONE
"""

# The microseconds since 1970 are above every number that was ever drawn: a sequence starts at 1, or
# at that number, and nobody claims a million times a second for years. After a crash or a replay of
# WAL PostgreSQL goes on up to 32 numbers further than the last one that was drawn: some of these
# may be lost as well.
MOVE: LiteralString = """
WITH lost AS (
    SELECT greatest(s.last_value - 32, 1) AS first,
           greatest(
               s.last_value + 1,
               trunc(extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS next
    FROM hodei_lease_seq s
), noted AS (
    UPDATE hodei_schema h
    SET lost_leases = h.lost_leases + int8multirange(int8range(l.first, l.next)),
        restored_at = clock_timestamp()
    FROM lost l
    RETURNING l.next
)
SELECT setval('hodei_lease_seq', n.next, false)
FROM noted n
"""

CONSUME: LiteralString = """
WITH consumed AS (
    UPDATE worker_bootstrap_tokens t
    SET consumed_at = clock_timestamp()
    WHERE t.consumed_at IS NULL
      AND t.revoked_at IS NULL
      AND t.expires_at > clock_timestamp()
    RETURNING hodei_token_fingerprint(t.token) AS token_id
), story AS (
    INSERT INTO domain_events (
        occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
    SELECT clock_timestamp(), 'TokenConsumed', c.token_id, c.token_id, %(actor)s,
           jsonb_build_object('token_id', c.token_id)
    FROM consumed c
)
SELECT count(*)
FROM consumed
"""

PAUSE: LiteralString = """
WITH paused AS (
    UPDATE provider_configs p
    SET status = 'PAUSED',
        updated_at = greatest(clock_timestamp(), p.updated_at + interval '1 microsecond')
    WHERE upper(btrim(p.status)) IN ('ACTIVE', 'DEGRADED')
    RETURNING p.name
)
SELECT left(p.name, 200)
FROM paused p
ORDER BY 1
"""

# Their rows in hodei_servers may be those of the restored time.
SERVERS: LiteralString = """
SELECT count(*)
FROM pg_stat_activity a
WHERE starts_with(a.application_name, 'hodei-server listener')
  AND a.datname = current_database()
"""

STORY: LiteralString = """
INSERT INTO domain_events (
    occurred_at, event_type, aggregate_id, correlation_id, actor, payload)
SELECT clock_timestamp(), %(kind)s, h.cluster_id::text, h.cluster_id::text, %(actor)s,
       jsonb_build_object(
           'next_lease', %(next_lease)s::bigint,
           'tokens', %(tokens)s::bigint,
           'providers', %(providers)s::bigint)
FROM hodei_schema h
"""


def make_safe(url: str, actor: str) -> Restored:
    """Moves the lease sequence past whatever workers can hold, consumes all tokens and pauses all
    providers, in one transaction. Repeating it does the same again. Conflict: this role does not own
    the schema. Unavailable: not now."""
    with (
        connect(url, NAME) as conn,
        in_words("the restored database could not be made safe"),
        untimed(conn, write=True),
    ):
        conn.execute(STOP_CLAIMS)
        servers = _number(conn, SERVERS)
        next_lease = _number(conn, MOVE)
        tokens = _number(conn, CONSUME, actor=actor)
        providers = [name for (name,) in conn.execute(PAUSE)]
        told = {"next_lease": next_lease, "tokens": tokens, "providers": len(providers)}
        conn.execute(STORY, {"kind": AuditKind.DATABASE_RESTORED, "actor": actor, **told})
        return Restored(next_lease, tokens, providers, servers)


def _number(conn: Connection, statement: LiteralString, **parameters: Any) -> int:
    """The one number that a statement returns."""
    number: int = conn.execute(statement, parameters).fetchall()[0][0]
    return number
