"""Which server a client asks next, for how long, and what it says when none answers, or an older one
does."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from hodei.client import (
    Exhausted,
    HodeiError,
    Invalid,
    NotFound,
    TimedOut,
    Unavailable,
    Unsupported,
    new_id,
    verbs,
)
from hodei.client import Hodei as Client
from hodei.client.following import AGAIN_S, Reading, Waiting
from hodei.client.servers import Servers, Tries
from hodei.protocol import hodei_pb2 as pb
from tests.client.conftest import Make

NOBODY = "127.0.0.1:1"


def tries_of(servers: int, seconds: float = 60) -> Tries:
    return Tries(Servers([f"host:{n + 1}" for n in range(servers)]), seconds)


def test_servers_are_tried_in_turn_beginning_with_the_one_that_answered() -> None:
    servers = Servers("a:1, b:2,http://c:3/")
    assert [str(one) for one in servers.addresses] == ["a:1", "b:2", "c:3"]
    tries = Tries(servers, 60)
    assert tries.next().place == 0
    assert tries.failed("UNAVAILABLE", "") == 0
    assert tries.next().place == 1
    tries.succeeded()
    again = Tries(servers, 60)
    places = []
    for _ in range(4):
        places.append(again.next().place)
        pause = again.failed("UNAVAILABLE", "")
        assert (pause > 0) == (len(places) == 3)
    assert places == [1, 2, 0, 1]


def test_each_server_has_its_part_of_the_time() -> None:
    tries = tries_of(3)
    assert tries.next().seconds == pytest.approx(20, abs=0.1)
    tries.failed("DEADLINE_EXCEEDED", "")
    assert tries.next().seconds == pytest.approx(30, abs=0.1)
    tries.failed("DEADLINE_EXCEEDED", "")
    assert tries.next().seconds == pytest.approx(60, abs=0.1)


@pytest.mark.parametrize(
    ("status", "words", "kind", "said"),
    [
        (
            "UNAVAILABLE",
            "the database is away\x1b",
            Unavailable,
            r"the database is away\x1b (tried host:1 for 0.001 s)",
        ),
        (
            "UNAVAILABLE",
            "",
            Unavailable,
            "the server answered UNAVAILABLE (tried host:1 for 0.001 s)",
        ),
        ("RESOURCE_EXHAUSTED", "too many", Exhausted, "too many (tried host:1 for 0.001 s)"),
        ("DEADLINE_EXCEEDED", "x", TimedOut, "no answer from host:1 within 0.001 s"),
        (
            "UNAVAILABLE",
            "failed to connect to all addresses; last error: x",
            Unavailable,
            "no server answers at host:1 within 0.001 s",
        ),
    ],
)
def test_the_last_words_are_told_when_the_time_has_passed(
    status: str, words: str, kind: type[HodeiError], said: str
) -> None:
    with pytest.raises(HodeiError) as caught:
        tries_of(1, 0.001).failed(status, words)
    assert (type(caught.value), str(caught.value)) == (kind, said)


def test_a_refusal_ends_the_tries_at_once() -> None:
    servers = Servers("a:1,b:2,c:3")
    tries = Tries(servers, 60)
    tries.failed("UNAVAILABLE", "")
    with pytest.raises(NotFound, match=r"^no job$"):
        tries.failed("NOT_FOUND", "no job")
    assert servers.current == 1, "it has answered"
    with pytest.raises(HodeiError, match=r"^the server answered DATA_LOSS$"):
        tries_of(3).failed("DATA_LOSS", "")


@pytest.mark.parametrize(
    ("status", "words", "may_be_done"),
    [
        ("UNAVAILABLE", "failed to connect to all addresses; last error: refused", False),
        ("RESOURCE_EXHAUSTED", "quota", False),
        ("UNAVAILABLE", "Socket closed", True),
        ("DEADLINE_EXCEEDED", "", True),
    ],
)
def test_it_is_known_what_may_have_been_done(status: str, words: str, may_be_done: bool) -> None:
    tries = tries_of(2)
    tries.failed(status, words)
    assert tries.may_be_done == may_be_done


def test_a_wait_goes_on_where_servers_have_too_many_waits() -> None:
    """They have told of the job, so the time of a call does not run out; a reader's does. A server
    without the call is asked in the way of the older release."""
    tries = tries_of(2, 0.001)
    waiting = Waiting(new_id(), None)
    places = []
    for _ in range(3):
        places.append(waiting.next(tries).place)
        waiting.found(pb.Job(state="RUNNING"), tries)
        assert waiting.broke(tries, "RESOURCE_EXHAUSTED", "too many readers") == AGAIN_S
    assert places == [0, 1, 0]
    waiting.found(pb.Job(state="RUNNING"), tries)
    assert (waiting.broke(tries, "UNIMPLEMENTED", ""), waiting.method) == (0.0, "ReadLogs")
    reading = Reading(new_id(), {}, follow=True)
    reading.found(pb.Job(state="RUNNING"), late := tries_of(1, 0.001))
    with pytest.raises(Exhausted, match=r"^too many readers \(tried host:1 for 0.001 s\)$"):
        reading.broke(late, "RESOURCE_EXHAUSTED", "too many readers")


@pytest.mark.parametrize(
    "servers",
    ["", "nowhere", "host:", ":1", "host:0", "host:65536", "h\n:1", [], [7], ["a:1", ""], 7],
)
def test_an_address_that_is_none_is_refused(make: Make, servers: Any) -> None:
    with pytest.raises(Invalid, match=r"^servers: expected "):
        make(servers)
    make("[::1]:50051", call_timeout=10**400)


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), "10", True, None])
def test_a_time_that_is_none_is_refused(make: Make, seconds: Any) -> None:
    with pytest.raises(Invalid, match=r"^call_timeout: expected seconds above 0, got "):
        make(NOBODY, call_timeout=seconds)
    if seconds is not None:
        with pytest.raises(Invalid, match=r"^timeout: expected seconds above 0, got "):
            make(NOBODY).wait(new_id(), seconds)


@pytest.mark.parametrize("actor", [7, b"ana", ["ana"]])
def test_an_actor_is_a_text(make: Make, actor: Any) -> None:
    with pytest.raises(Invalid, match=r"^actor: expected text, got "):
        make(NOBODY, actor=actor)


def test_the_environment_names_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error of gRPC is not part of what a program sees."""
    monkeypatch.setenv("HODEI_SERVER_ADDRESS", NOBODY)
    with (
        Client(call_timeout=0.1) as client,
        pytest.raises(Unavailable, match=f"^no server answers at {NOBODY} within 0.1 s$") as caught,
    ):
        client.get(new_id())
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)


def test_a_server_of_an_older_release_is_told_apart(make: Make) -> None:
    """One that lacks a call, and one that ignores a filter."""
    with ThreadPoolExecutor(2) as threads:
        server = grpc.server(threads)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        words = r"^the server is of an older release, which does not have this call$"
        with pytest.raises(Unsupported, match=words):
            make(f"127.0.0.1:{port}").attempts(new_id())
        server.stop(None).wait()
    listing = verbs.list_jobs({"name": "x*"}, None, 20)
    assert next(listing).request.filter.name == "x*"
    words = r"^the server is of an older release: it knows only one state, reason, correlation_id$"
    with pytest.raises(Unsupported, match=words):
        listing.send(pb.ListJobsResponse(jobs=[pb.Job(name="y", state="RUNNING")]))
    reading = Reading(new_id(), {"tail_lines": 9}, follow=False)
    assert reading.request().tail_lines == 9
    words = r"^the server is of an older release: it sends only whole logs$"
    with pytest.raises(Unsupported, match=words):
        reading.chunks_of(pb.ReadLogsResponse(), tries_of(1))
    reading.chunks_of(pb.ReadLogsResponse(cursor="7.1", selected=True), tries_of(1))
    assert not reading.request().HasField("tail_lines"), "counted once, though it is asked again"
    listing = verbs.list_jobs({"state": "RUNNING"}, None, 20)
    assert next(listing).request == pb.ListJobsRequest(state="RUNNING", limit=20)
    with pytest.raises(StopIteration) as end:
        listing.send(pb.ListJobsResponse(jobs=[pb.Job(name="y", state="RUNNING")]))
    assert [job.name for job in end.value.value] == ["y"]
