"""Somebody who can read all of the database, or a copy of it: what that gives, and what not."""

import hashlib
import json
import uuid
from typing import Any

import grpc
import pytest

from hodei.domain import api_key
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from hodei.secrets.keys import Damaged, NoKey, SecretKeys
from tests.running import Hodei


def refused(call: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as refusal:
        call()
    code: grpc.StatusCode = refusal.value.code()
    return code


def test_hashes_of_keys_and_credentials_let_nobody_in(one: Hodei) -> None:
    token = one.token()
    state = one.folder / "w"
    one.stack.worker("worker", one.addresses[0], state, one.token())
    key = one.ok(
        "apikey", "create", "--role", "admin", "--name", "ana", "--database-url", one.url
    ).text.strip()
    columns = """
        SELECT table_name, column_name
        FROM information_schema.columns
        WHERE table_schema = 'public' AND data_type IN ('bytea', 'text', 'uuid', 'jsonb')
          AND table_name IN ('api_keys', 'workers', 'worker_bootstrap_tokens')
        """
    read: set[str] = set()
    for table, column in one.sql(columns):
        for (value,) in one.sql(f"SELECT {column} FROM {table}"):
            read.add(value.hex() if isinstance(value, bytes) else str(value))
    secret = json.loads((state / "identity.json").read_text())["secret"]
    known = api_key.parse(key)
    assert known
    for of_others in (key, known.secret, secret):
        assert of_others not in read
    assert {known.sha256.hex(), hashlib.sha256(bytes.fromhex(secret)).hexdigest()} <= read
    assert token in read, "tokens are there as people insert them"

    ((worker_id,),) = one.sql("SELECT id::text FROM workers")
    hello = pb.WorkerFrame(hello=pb.Hello(protocol_min=1, protocol_max=1, slots=1))
    hello.hello.instance = str(uuid.uuid4())
    one.sql("UPDATE workers SET connected = false")
    with grpc.insecure_channel(one.addresses[0]) as channel:
        workers = hodei_pb2_grpc.WorkerServiceStub(channel)
        fleet = hodei_pb2_grpc.FleetServiceStub(channel)
        for value in sorted(read):
            said = (("authorization", f"Bearer {worker_id}:{value}"),)
            code = refused(lambda said=said: next(workers.Connect(iter([hello]), metadata=said)))
            assert code == grpc.StatusCode.UNAUTHENTICATED
            forged = api_key.ApiKey(known.letter, known.id, value[:43].ljust(43, "0")).text
            for text in (value, forged):
                said = (("authorization", f"Bearer {text}"),)
                request = pb.GetStatusRequest()
                code = refused(
                    lambda said=said, request=request: fleet.GetStatus(request, metadata=said)
                )
                assert code in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.RESOURCE_EXHAUSTED)
        register = pb.RegisterRequest(
            token=token, worker_id=str(uuid.uuid4()), secret_sha256=b"s" * 32, name="thief"
        )
        workers.Register(register)  # an unused token gives a worker: nobody else may read it


def test_a_secret_is_of_no_use_without_its_key_or_in_the_place_of_another() -> None:
    keys = SecretKeys([b"k" * 32])
    sealed = keys.seal("default", "ci-token", 3, "a value of a secret")
    assert keys.open(sealed) == "a value of a secret"
    assert b"value" not in sealed.sealed
    for place in ({"name": "other"}, {"project": "other"}, {"version": 4}):
        with pytest.raises(Damaged, match="its row was changed"):
            keys.open(sealed._replace(**place))
    with pytest.raises(NoKey):
        SecretKeys([b"o" * 32]).open(sealed)
