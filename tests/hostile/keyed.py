"""A server with a key of each role, and what each role may change of its rows."""

from collections.abc import Iterator
from dataclasses import dataclass

import grpc
import pytest

from hodei.access.roles import LADDER, OF_KEYS, Role, may
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.running import Hodei

LATER = "2900-01-01T00:00:00Z"

INNOCENT = "innocent"
"""The name of the key of a well-behaved caller, a submitter."""

CHANGES: dict[Role, str] = {
    Role.SUBMITTER: """
        SELECT md5(string_agg(j::text, ',' ORDER BY j.id)),
               (SELECT count(*)
                FROM job_queue q
                JOIN jobs i ON i.id = q.job_id
                WHERE i.actor <> 'api:innocent')
        FROM jobs j
        WHERE j.actor <> 'api:innocent'
    """,
    Role.OPERATOR: """
        SELECT md5(string_agg(
            w.id::text || w.draining || (w.revoked_at IS NULL), ',' ORDER BY w.id))
        FROM workers w
        WHERE w.name = 'w'
    """,
    Role.ADMIN: """
        SELECT (SELECT count(*) FROM worker_bootstrap_tokens WHERE created_by <> 'api:registrar'),
               (SELECT count(*) FROM worker_bootstrap_tokens WHERE revoked_at IS NOT NULL),
               (SELECT md5(string_agg(k.id || k.role || (k.revoked_at IS NULL), ',' ORDER BY k.id))
                FROM api_keys k),
               (SELECT count(*) FROM project_grants),
               (SELECT count(*) FROM secrets),
               (SELECT count(*) FROM provider_configs)
    """,
    Role.REGISTRAR: """
        SELECT (SELECT count(*) FROM workers),
               (SELECT count(*) FROM worker_bootstrap_tokens WHERE created_by = 'api:registrar')
    """,
}
"""What callers may change, by the least role that may; without the jobs of the innocent caller."""

EVENTS = """
SELECT event_type, count(*)
FROM domain_events
WHERE actor = %s AND event_type <> ALL (%s)
GROUP BY event_type
"""


@dataclass
class Keyed:
    """`keys`: one for each role; `spare`: the id of one more key; `ids`: of what is there, but for
    the ids of `keys`."""

    hodei: Hodei
    keys: dict[Role, str]
    innocent: str
    spare: str
    job_ids: list[str]
    ids: list[str]

    @property
    def address(self) -> str:
        return self.hodei.addresses[0]

    def said(self, role: Role) -> list[tuple[str, str]]:
        return [("authorization", f"Bearer {self.keys[role]}")]

    def rows(self) -> dict[Role, list[tuple[object, ...]]]:
        return {least: self.hodei.sql(statement) for least, statement in CHANGES.items()}

    def check_unchanged(self, role: Role, before: dict[Role, list[tuple[object, ...]]]) -> None:
        """Nothing has changed but what the role may change, and the server is well."""
        for least, rows in self.rows().items():
            assert may(role, least) or rows == before[least], f"{role} has done what {least} may"
        if not may(role, Role.SUBMITTER):
            registers = ["TokenCreated", "TokenConsumed"] if role is Role.REGISTRAR else []
            assert self.hodei.sql(EVENTS, f"api:{role}", registers) == []
        self.check_well()

    def check_well(self) -> None:
        (part,) = (part for part in self.hodei.stack.parts if part.name == "server-0")
        assert not part.ended
        log = self.hodei.log("server-0")
        for words in ("Traceback", "fault of the server", "ERROR"):
            before, found, after = log.partition(words)
            assert not found, before[-1000:] + found + after[:4000]
        for key in (*self.keys.values(), self.innocent):
            assert key not in log


def new_keys(address: str, names: dict[str, Role]) -> dict[str, str]:
    """Makes a key of each name and role. The first one is an admin's, and makes the others."""
    said: list[tuple[str, str]] = []
    keys: dict[str, str] = {}
    with grpc.insecure_channel(address) as channel:
        access = hodei_pb2_grpc.AccessServiceStub(channel)
        for name, role in names.items():
            request = pb.CreateApiKeyRequest(name=name, role=role)
            keys[name] = access.CreateApiKey(request, metadata=said, timeout=10).key
            said = said or [("authorization", f"Bearer {keys[name]}")]
    return keys


@pytest.fixture
def keyed(one: Hodei) -> Iterator[Keyed]:
    job_ids = [one.submit("--run-at", LATER, "--command", "true") for _ in range(5)]
    one.sql("INSERT INTO workers (id, name, state) VALUES (gen_random_uuid(), 'w', 'READY')")
    token = one.ok("token", "create").text.strip()
    names = {str(role): role for role in reversed(LADDER[1:])} | {"registrar": Role.REGISTRAR}
    names |= {INNOCENT: Role.SUBMITTER, "spare": Role.ADMIN}
    made = new_keys(one.addresses[0], names)
    ((worker_id,),) = one.sql("SELECT id::text FROM workers")
    ((spare,),) = one.sql("SELECT id FROM api_keys WHERE name = 'spare'")
    keys = {role: made[role] for role in OF_KEYS}
    ids = [*job_ids, worker_id, token, spare]
    yield Keyed(one, keys, made[INNOCENT], spare, job_ids, ids)
