"""Which server a client asks, how long, and what it says when none answers."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from hodei.client import (
    AsyncHodei,
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
from tests.eventually import eventually
from tests.running import Hodei
from verify.fault_proxy import FaultProxy

NOBODY = "127.0.0.1:1"

COUNTING = "for n in 1 2 3 4 5 6; do echo $n; sleep 0.2; done"


def tries_of(servers: int, seconds: float = 60) -> Tries:
    return Tries(Servers([f"host:{n + 1}" for n in range(servers)]), seconds)


def test_servers_are_tried_in_turn_beginning_with_the_one_that_answered() -> None:
    servers = Servers("a:1, b:2,http://c:3/")
    assert servers.addresses == ("a:1", "b:2", "c:3")
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
        ("UNAVAILABLE", "the database is away\x1b", Unavailable, r"the database is away\x1b"),
        ("UNAVAILABLE", "", Unavailable, "the server answered UNAVAILABLE"),
        ("RESOURCE_EXHAUSTED", "too many", Exhausted, "too many"),
        ("DEADLINE_EXCEEDED", "x", TimedOut, "no answer from host:1 within 0.001 s"),
        ("UNAVAILABLE", "failed to connect to all addresses; last error: x", Unavailable,
         "no server answers at host:1 within 0.001 s"),
    ],
)  # fmt: skip
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


def test_a_wait_goes_on_where_servers_have_too_many_readers() -> None:
    """They have told of the job, so the time of a call does not run out; a reader's does."""
    tries = tries_of(2, 0.001)
    waiting = Waiting(new_id(), None)
    places = []
    for _ in range(3):
        places.append(waiting.next(tries).place)
        waiting.found(pb.Job(state="RUNNING"), tries)
        assert waiting.broke(tries, "RESOURCE_EXHAUSTED", "too many readers") == AGAIN_S
    assert places == [0, 1, 0]
    reading = Reading(new_id(), {}, follow=True)
    reading.found(pb.Job(state="RUNNING"), late := tries_of(1, 0.001))
    with pytest.raises(Exhausted, match=r"^too many readers$"):
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


@contextmanager
def deaf() -> Iterator[str]:
    """The address of a server that takes connections and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def test_a_server_that_hangs_leaves_time_for_the_others(hodei: Hodei, make: Make) -> None:
    with deaf() as address:
        client = make([address, NOBODY, hodei.addresses[0]], call_timeout=1.5)
        job_id = client.submit(command="echo heard")
        assert b"".join(c.data for c in client.logs(job_id, follow=True)) == b"heard\n"
        alone = make(address, call_timeout=0.3)
        with pytest.raises((TimedOut, Unavailable), match=f"{address} within 0.3 s"):
            alone.get(job_id)


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
        reading.take(pb.ReadLogsResponse(), tries_of(1))
    reading.take(pb.ReadLogsResponse(cursor="7.1", selected=True), tries_of(1))
    assert not reading.request().HasField("tail_lines"), "counted once, though it is asked again"
    listing = verbs.list_jobs({"state": "RUNNING"}, None, 20)
    assert next(listing).request == pb.ListJobsRequest(state="RUNNING", limit=20)
    with pytest.raises(StopIteration) as end:
        listing.send(pb.ListJobsResponse(jobs=[pb.Job(name="y", state="RUNNING")]))
    assert [job.name for job in end.value.value] == ["y"]


@pytest.fixture
def link(hodei: Hodei) -> Iterator[FaultProxy]:
    """The way to the first server."""
    with FaultProxy(hodei.addresses[0]) as proxy:
        yield proxy


@contextmanager
def answer_lost(
    link: FaultProxy, call: Callable[[], Any], done: Callable[[], Any]
) -> Iterator[Any]:
    """Makes a call whose answer is lost once it is done; the list has its second answer."""
    answers: list[Any] = []
    link.half_open("back")
    thread = threading.Thread(target=lambda: answers.append(call()))
    thread.start()
    eventually(done)
    link.cut()
    thread.join(30)
    yield answers


def test_what_is_repeated_after_a_lost_answer_is_done_once(
    hodei: Hodei, link: FaultProxy, make: Make
) -> None:
    """A submit is the same job, a cancel no conflict, a retry the same new job."""
    client = make([link.address, hodei.addresses[1]], call_timeout=30)
    mine = new_id()
    spec = {"command": "true", "correlation_id": mine, "labels": {"never": "there"}}
    asked = "SELECT id::text FROM jobs WHERE correlation_id = %s ORDER BY created_at"
    client.list(limit=1)  # connected
    with answer_lost(link, lambda: client.submit(spec), lambda: hodei.sql(asked, mine)) as ids:
        assert [(job_id,) for job_id in ids] == hodei.sql(asked, mine)
    link.heal()
    over = "SELECT 1 FROM jobs WHERE correlation_id = %s AND state = 'CANCELLED'"
    client = make([link.address, hodei.addresses[1]], call_timeout=30)
    client.get(ids[0])
    with answer_lost(link, lambda: client.cancel(ids[0]), lambda: hodei.sql(over, mine)) as jobs:
        assert [job.state for job in jobs] == ["CANCELLED"]
    link.heal()
    client = make([link.address, hodei.addresses[1]], call_timeout=30)
    client.get(ids[0])
    two = f"SELECT 1 FROM ({asked}) AS found HAVING count(*) = 2"
    with answer_lost(link, lambda: client.retry(ids[0]), lambda: hodei.sql(two, mine)) as jobs:
        assert [ids[0], jobs[0].job_id] == [job_id for (job_id,) in hodei.sql(asked, mine)]
    client.cancel(jobs[0])


def test_a_call_that_gives_up_says_what_may_stand(
    hodei: Hodei, link: FaultProxy, make: Make
) -> None:
    client = make(link.address, call_timeout=0.5)
    mine = new_id()
    client.list(limit=1, call_timeout=20)
    link.half_open("back")
    with pytest.raises(TimedOut) as caught:
        client.submit(command="true", id=mine)
    assert str(caught.value) == (
        f"no answer from {link.address} within 0.5 s; it may have been stored all the same: "
        f"submitted again with id='{mine}' it does not run twice"
    )
    with pytest.raises(TimedOut, match=r"with the same ids none of them runs twice$"):
        client.submit_many([{"command": "true"}] * 2)
    link.heal()
    assert client.submit(command="true", id=mine, call_timeout=20) == mine


def test_a_server_that_comes_back_is_found_again(
    hodei: Hodei, link: FaultProxy, make: Make
) -> None:
    client = make(link.address, call_timeout=20)
    job_id = client.submit(command="true")
    link.refuse()
    with pytest.raises(Unavailable, match=f"{link.address} within 1.5 s|Socket|reset"):
        client.get(job_id, call_timeout=1.5)
    link.heal()
    assert client.get(job_id).job_id == job_id


def test_a_log_is_read_whole_over_cut_connections(
    hodei: Hodei, link: FaultProxy, make: Make
) -> None:
    """The only way there is cut at each line."""
    client = make(link.address)
    job_id = client.submit(command=COUNTING)
    data = b""
    for chunk in client.logs(job_id, follow=True):
        data += chunk.data
        link.cut()
    assert data == b"1\n2\n3\n4\n5\n6\n"


def test_followers_and_waiters_outlive_a_killed_server(fresh: Hodei) -> None:
    """Of both kinds, in the middle of a log; the other server goes on at the same place."""
    fresh.stack.worker("worker", fresh.addresses[1], fresh.folder / "w", fresh.token())

    def follow(client: Client) -> bytes:
        return b"".join(chunk.data for chunk in client.logs(job_id, follow=True))

    async def both() -> list[Any]:
        async with AsyncHodei(fresh.addresses) as client:
            reading = asyncio.to_thread(follow, blocking)
            waiting = [client.wait(job_id, 60), asyncio.to_thread(blocking.wait, job_id, 60)]
            others = asyncio.gather(reading, *waiting)
            data = b""
            async for chunk in client.logs(job_id, follow=True):
                data += chunk.data
                if data == b"1\n":
                    fresh.stack.parts[0].process.kill()
            return [data, *await others]

    with Client(fresh.addresses) as blocking:
        job_id = blocking.submit(command=COUNTING)
        first, second, *jobs = asyncio.run(both())
        assert first == second == b"1\n2\n3\n4\n5\n6\n"
        assert [job.state for job in jobs] == ["SUCCEEDED"] * 2
        assert blocking.submit_many([{"command": "true"}])
