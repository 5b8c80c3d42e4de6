"""What callers with keys change: each event has the key as its actor, and says for whom."""

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc as rpc
from tests.running import Hodei, start

SAID = "cli:ana"


@pytest.fixture
def system(pg_server: SimpleNamespace, tmp_path: Any) -> Iterator[Hodei]:
    """A server that can encrypt, and a worker of which only the row is there."""
    (tmp_path / "key").write_bytes(os.urandom(32))
    running = start(pg_server, tmp_path, servers=0)
    flags = ("--secret-key-file", str(tmp_path / "key"))
    running.addresses.append(running.stack.server("server", running.url, 0, *flags))
    running.sql(
        "INSERT INTO workers (id, state, connected) VALUES (gen_random_uuid(), 'READY', true)"
    )
    running.sql("CREATE ROLE on_behalf")
    yield running
    running.sql("DROP ROLE on_behalf")
    running.stack.stop()
    running.conn.close()


def test_each_event_of_a_keyed_caller_says_for_whom(system: Hodei) -> None:
    there = ("--database-url", system.url)
    key = system.ok("apikey", "create", "--role", "admin", "--name", "root", *there).text.strip()
    said = (("authorization", f"Bearer {key}"), ("hodei-actor", SAID))
    ((worker,),) = system.sql("SELECT id::text FROM workers")
    with grpc.insecure_channel(system.addresses[0]) as channel:

        def ask(service: str, method: str, request: Any) -> Any:
            stub = getattr(rpc, f"{service}Stub")(channel)
            return getattr(stub, method)(request, metadata=said, timeout=20)

        ask("FleetService", "DrainWorker", pb.DrainWorkerRequest(worker_id=worker))
        ask("FleetService", "DrainWorker", pb.DrainWorkerRequest(worker_id=worker, undo=True))
        ask("FleetService", "RevokeWorker", pb.WorkerRef(worker_id=worker))
        token = ask("FleetService", "CreateToken", pb.CreateTokenRequest()).token
        ask("FleetService", "RevokeToken", pb.TokenRef(token=token))
        made = ask("AccessService", "CreateApiKey", pb.CreateApiKeyRequest(role="viewer", name="v"))
        ask("AccessService", "RevokeApiKey", pb.ApiKeyRef(key=made.key_id))
        grant = pb.GrantProjectRequest(role="on_behalf", project="web")
        ask("ProjectService", "GrantProject", grant)
        grant.undo = True
        ask("ProjectService", "GrantProject", grant)
        ask("SecretService", "SetSecret", pb.SetSecretRequest(name="s", value="a value of it"))
        ask("SecretService", "RemoveSecret", pb.SecretRef(name="s"))
        ask("ProviderService", "AddProvider", pb.AddProviderRequest(name="p", max_workers=1))
        for method in ("PauseProvider", "ResumeProvider", "AdoptEngine"):
            ask("ProviderService", method, pb.ProviderRef(provider="p"))
        ask("ProviderService", "RemoveProvider", pb.RemoveProviderRequest(provider="p"))
    told = system.sql(
        """
        SELECT event_type, payload ->> 'on_behalf_of', count(*)
        FROM domain_events
        WHERE actor = 'api:root'
        GROUP BY 1, 2
        ORDER BY 1
        """
    )
    assert told == [
        ("KeyCreated", SAID, 1),
        ("KeyRevoked", SAID, 1),
        ("ProjectGranted", SAID, 2),
        ("ProviderAdded", SAID, 1),
        ("ProviderEngineAdopted", SAID, 1),
        ("ProviderPaused", SAID, 1),
        ("ProviderRemoved", SAID, 1),
        ("ProviderResumed", SAID, 1),
        ("SecretRemoved", SAID, 1),
        ("SecretSet", SAID, 1),
        ("TokenCreated", SAID, 1),
        ("TokenRevoked", SAID, 1),
        ("WorkerRevoked", SAID, 1),
        ("WorkerStatusChanged", SAID, 2),
    ]
