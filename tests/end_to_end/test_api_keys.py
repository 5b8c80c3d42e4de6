"""API keys through the real programs: what each role may call, who needs none, and what becomes of a
key that is revoked."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from hodei.access.roles import LEAST, OF_KEYS, WITHOUT_KEY, Role, may
from hodei.client import Forbidden, Unauthenticated
from hodei.client import Hodei as Client
from hodei.protocol import hodei_pb2 as pb
from tests.eventually import eventually
from tests.running import Hodei, Ran, start

STATUS = "hodei.v1.FleetService/GetStatus"

IN_FORCE_S = 5.0
"""Seconds within which a revocation is to be in force."""


@pytest.fixture(scope="module")
def keyed(pg_server: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hodei]:
    """Two servers on loopback, and a database with a key of an admin."""
    running = start(pg_server, tmp_path_factory.mktemp("keyed"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("HODEI_API_KEY", raising=False)
        assert (refused := running.run("apikey", "create", "--role=viewer", "--name=v")).code == 125
        assert "the first API key must be of the role admin" in refused.err
        patch.setenv("HODEI_API_KEY", new_key(running, "admin", "root"))
        yield running
    running.stack.stop()
    running.conn.close()


def new_key(hodei: Hodei, role: str, name: str, *flags: str) -> str:
    made = hodei.ok("apikey", "create", "--role", role, "--name", name, *flags).text
    assert made.count("\n") == 1
    return made.strip()


@pytest.fixture
def with_key(keyed: Hodei, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs the program with a key, or without one."""

    def run(key: str | None, *words: str) -> Ran:
        with monkeypatch.context() as patch:
            if key is None:
                patch.delenv("HODEI_API_KEY")
            else:
                patch.setenv("HODEI_API_KEY", key)
            return keyed.run(*words)

    return run


def bearer(key: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {key}"),)


@contextmanager
def channel(hodei: Hodei, server: int = 0) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(hodei.addresses[server]) as opened:
        yield opened


def status(channel: grpc.Channel, method: str, metadata: Any = ()) -> grpc.StatusCode:
    """How a call of any method with an empty request is answered."""
    open_call: Any = channel.stream_stream(f"/{method}")
    call = open_call(iter([b""]), metadata=metadata, timeout=20)
    try:
        next(call)
    except StopIteration:
        return grpc.StatusCode.OK
    except grpc.RpcError as error:
        return error.code()
    call.cancel()
    return grpc.StatusCode.OK


@pytest.mark.parametrize("role", OF_KEYS)
def test_each_role_may_call_what_the_table_says(keyed: Hodei, role: Role) -> None:
    metadata = bearer(new_key(keyed, role, f"the-{role}"))
    with channel(keyed) as calls:
        denied = {
            method
            for method in LEAST
            if status(calls, method, metadata) is grpc.StatusCode.PERMISSION_DENIED
        }
    assert denied == {method for method, least in LEAST.items() if not may(role, least)}


def test_without_a_key_only_open_methods_are_answered(keyed: Hodei) -> None:
    closed = [method for method, least in LEAST.items() if least is not Role.NONE]
    with channel(keyed) as calls:
        for method in (*WITHOUT_KEY, "hodei.v1.AccessService/WhoAmI"):
            assert status(calls, method) is not grpc.StatusCode.PERMISSION_DENIED
        begun = time.monotonic()
        found = {status(calls, method) for method in closed[:4]}
    assert found == {grpc.StatusCode.UNAUTHENTICATED}
    assert time.monotonic() - begun >= 4 * 0.25, "a refusal takes its time"


def test_what_is_missing_is_said_with_what_to_do(with_key: Any, keyed: Hodei) -> None:
    viewer = new_key(keyed, "viewer", "reader")
    said = {
        "the API key reader has the role viewer: expected submitter or higher": viewer,
        "mistyped or cut off": viewer[:-1],
        "set HODEI_API_KEY_FILE": None,
        "expected an API key (hodei_…": "secret-but-no-key",
    }
    for words, key in said.items():
        ran = with_key(key, "job", "submit", "true")
        assert ran.code == 125
        assert words in ran.err
        assert ran.err.count("\n") == 1
        assert not key or key[:-1] not in ran.err


def test_a_key_is_in_no_log_and_no_event(keyed: Hodei, with_key: Any) -> None:
    key = new_key(keyed, "submitter", "quiet")
    assert with_key(key, "job", "submit", "true").code == 0
    assert with_key(key[:-1] + "_", "job", "list").code == 125
    secret = key.rpartition("_")[2]
    assert secret not in keyed.log("server-0") + keyed.log("server-1")
    assert secret not in str(keyed.sql("SELECT * FROM domain_events"))
    assert secret not in keyed.ok("apikey", "list", "--format", "json").text


def test_the_actor_is_the_key_and_what_a_caller_says_is_only_written_down(keyed: Hodei) -> None:
    key = new_key(keyed, "submitter", "nightly")
    with Client(keyed.addresses[0], api_key=key, actor="mallory") as client:
        job = client.get(client.submit(command="true"))
        assert job.actor == "api:nightly"
        (created, *_) = client.timeline(job)
        assert created.payload["on_behalf_of"] == "python:mallory"
        with pytest.raises(Unauthenticated, match="no API key"):
            Client(keyed.addresses[0], api_key=key[:-1]).list()
    viewer = new_key(keyed, "viewer", "v")
    with (
        Client(keyed.addresses[0], api_key=viewer) as client,
        pytest.raises(Forbidden, match="the role viewer"),
    ):
        client.submit(command="true")
    listed = keyed.ok("apikey", "list", "--format", "json").json
    (used,) = {one["used_at"] for one in listed if one["name"] == "root"}
    assert used


def test_a_viewer_sees_no_value_of_an_environment_and_no_input(keyed: Hodei, with_key: Any) -> None:
    job = keyed.submit("-i", "--env", "TOKEN=hidden-word", "cat", stdin=b"hidden-input")
    keys = {role: new_key(keyed, role, f"sees-{role}") for role in ("viewer", "submitter")}
    shown = {
        role: with_key(key, "job", "get", job, "--format", "json") for role, key in keys.items()
    }
    spec = shown["viewer"].json["spec"]
    assert (spec["env"], spec["stdin"], spec["command"]) == ({"TOKEN": "***"}, "***", ["cat"])
    assert "hidden" not in shown["viewer"].text
    spec = shown["submitter"].json["spec"]
    assert (spec["env"], spec["stdin"]) == ({"TOKEN": "hidden-word"}, "hidden-input")
    with channel(keyed) as calls:
        read: Any = calls.unary_stream("/hodei.v1.JobService/ReadLogs")
        request = pb.ReadLogsRequest(job_id=job).SerializeToString()
        raw = b"".join(read(request, metadata=bearer(keys["viewer"])))
    assert b"hidden" not in raw


@contextmanager
def followed(hodei: Hodei, key: str, server: int) -> Iterator[Any]:
    """A stream that goes on: the log of a job that nobody runs."""
    request = pb.ReadLogsRequest(job_id=hodei.submit("true"), follow=True).SerializeToString()
    with channel(hodei, server) as opened:
        read: Any = opened.unary_stream("/hodei.v1.JobService/ReadLogs")
        call = read(request, metadata=bearer(key))
        yield call
        call.cancel()


def test_a_revoked_key_ends_everywhere_with_its_streams_and_no_other_does(keyed: Hodei) -> None:
    gone, stays = (new_key(keyed, "viewer", name) for name in ("gone", "stays"))
    with followed(keyed, gone, 1) as ended, followed(keyed, stays, 1) as other:
        with channel(keyed, 1) as calls:
            for key in (gone, stays):
                assert status(calls, STATUS, bearer(key)).name == "OK"
            keyed.ok("apikey", "revoke", "gone", server=0)
            begun = time.monotonic()
            with pytest.raises(grpc.RpcError) as refused:
                list(ended)
            assert time.monotonic() - begun < IN_FORCE_S
            assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
            assert "the API key gone" in (refused.value.details() or "")
            assert status(calls, STATUS, bearer(gone)).name == "UNAUTHENTICATED"
        assert other.is_active()
    again = keyed.run("apikey", "revoke", "gone")
    assert (again.code, "was revoked before" in again.err) == (125, True)


def test_refused_calls_are_counted_in_the_audit(keyed: Hodei) -> None:
    key = new_key(keyed, "viewer", "old")
    keyed.ok("apikey", "revoke", "old")
    key_id = key.split("_")[2]
    with channel(keyed) as calls:
        for _ in range(2):
            assert status(calls, STATUS, bearer(key)).name == "UNAUTHENTICATED"
    asked = (
        "SELECT payload FROM domain_events WHERE event_type = 'LoginFailed' AND aggregate_id = %s"
    )
    ((payload,),) = eventually(lambda: keyed.sql(asked, key_id))
    assert payload.keys() == {"address", "calls", "key_id"}
    assert payload["address"] == "127.0.0.1"


def test_the_audit_shows_who_did_what(keyed: Hodei) -> None:
    new_key(keyed, "viewer", "audited")
    keyed.ok("apikey", "revoke", "audited")
    (made,) = [
        one["payload"]["key_id"]
        for one in keyed.ok("audit", "--kind", "KeyCreated", "--limit", "1000", "-o", "json").json
        if one["payload"]["name"] == "audited"
    ]
    shown = keyed.ok("audit", "--about", made).text.splitlines()
    assert [line.split()[1:4] for line in shown[1:]] == [
        ["KeyRevoked", made, "api:root"],
        ["KeyCreated", made, "api:root"],
    ]
    job_id = keyed.submit("true")
    assert _about(keyed, job_id.upper()) == _about(keyed, job_id[-8:]) == _about(keyed, job_id)
    everything = keyed.ok("audit", "--jobs", "--limit", "1000", "--format", "json").json
    by_sql = keyed.sql("SELECT event_type, aggregate_id FROM domain_events ORDER BY id DESC")
    assert [(one["event_type"], one["aggregate_id"]) for one in everything] == by_sql
    mine = keyed.ok("audit", "--actor", "api:root", "--since", "1h", "-o", "json").json
    assert {one["actor"] for one in mine} == {"api:root"}
    assert not any(one["event_type"].startswith("Job") for one in mine)
    assert keyed.ok("audit", "--until", "1h").err == "no events\n"


def _about(keyed: Hodei, job: str) -> Any:
    found = keyed.ok("audit", "--jobs", "--about", job, "-o", "json").json
    assert [one["event_type"] for one in found][-1:] == ["JobCreated"]
    return found


def test_a_slip_in_what_the_audit_is_asked_for_does_not_look_as_if_nothing_was_done(
    keyed: Hodei,
) -> None:
    twins = [
        keyed.submit("--id", f"0f0f0f0f-0000-4000-8000-00000000000{n}", "true") for n in (1, 2)
    ]
    slips = {
        ("--kind", "keycreated"): "kind: expected one of JobCreated, JobAssigned, ",
        ("--kind", "KeyCreated,Foo"): "got 'Foo'",
        ("--about", "86f7648d"): "about: no event is about '86f7648d': expected the id of ",
        ("--about", "0f0f0f0f"): f"several fit, give the id of one: {twins[1]} (job ",
        ("--about", "nobody"): "about: no event is about 'nobody'",
        ("--actor", "worker:nobody"): "no worker 'nobody': expected a name, an id, its first 6",
        ("--actor", "worker:"): "worker: expected a name or an id of at most 200 characters",
    }
    for flags, words in slips.items():
        ran = keyed.run("audit", *flags)
        assert (ran.code, words in ran.err, ran.err.count("\n")) == (125, True, 1), ran
    for flag in ("--about", "--actor"):
        ran = keyed.run("audit", flag, "")
        assert (ran.code, f"{flag}: expected a value, got an empty one" in ran.err) == (2, True)


def test_on_loopback_no_key_is_needed_until_there_is_one(fresh: Hodei) -> None:
    """What a proxy forwards comes from elsewhere."""
    with channel(fresh) as calls:
        assert status(calls, STATUS).name == "OK"
        for header in ("forwarded", "x-forwarded-for"):
            assert status(calls, STATUS, ((header, "for=192.0.2.7"),)).name == "UNAUTHENTICATED"
        url = ("--database-url", fresh.url)
        key = fresh.ok("apikey", "create", "--role", "admin", "--name", "a", *url).text.strip()
        begun = time.monotonic()
        eventually(lambda: status(calls, STATUS).name == "UNAUTHENTICATED", IN_FORCE_S)
        assert time.monotonic() - begun < IN_FORCE_S
        assert status(calls, STATUS, bearer(key)).name == "OK"


def test_roles_without_a_key_are_what_the_server_is_told(
    fresh: Hodei, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HODEI_API_KEY", raising=False)
    fresh.ok("apikey", "create", "--role", "admin", "--name", "a", "--database-url", fresh.url)
    flags = ("--loopback-role", "submitter")
    address = fresh.stack.server("local", fresh.url, 0, *flags)
    with grpc.insecure_channel(address) as calls:
        assert status(calls, STATUS).name == "OK"
        assert status(calls, "hodei.v1.JobService/CreateJobs").name == "INVALID_ARGUMENT"
        assert status(calls, "hodei.v1.FleetService/CreateToken").name == "UNAUTHENTICATED"
        assert status(calls, STATUS, (("x-forwarded-for", "x"),)).name == "UNAUTHENTICATED"
    address = fresh.stack.server("open", fresh.url, 0, "--anonymous-role", "viewer")
    assert "--anonymous-role viewer: whoever reaches this server" in fresh.log("open")
    with grpc.insecure_channel(address) as calls:
        assert status(calls, STATUS, (("x-forwarded-for", "x"),)).name == "OK"
        assert status(calls, STATUS).name == "OK"
    told = f"whoever reaches {address} has the role viewer (--anonymous-role)"
    fresh.addresses[0] = address
    eventually(lambda: told in fresh.ok("status", server=0).text, 20)
