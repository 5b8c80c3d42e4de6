"""Clients whose servers hang, go away and come back."""

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hodei.client import (
    AsyncHodei,
    TimedOut,
    Unavailable,
    new_id,
)
from hodei.client import Hodei as Client
from tests.client.conftest import Make
from tests.eventually import eventually
from tests.running import Hodei
from verify.fault_proxy import FaultProxy

NOBODY = "127.0.0.1:1"

COUNTING = "for n in 1 2 3 4 5 6; do echo $n; sleep 0.2; done"


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
    with pytest.raises(TimedOut, match=r"with ids_from='.{36}' none of them runs twice$"):
        client.submit_many([{"command": "true"}] * 2)
    link.heal()
    assert client.submit(command="true", id=mine, call_timeout=20) == mine


def test_a_server_that_comes_back_is_found_again(
    hodei: Hodei, link: FaultProxy, make: Make
) -> None:
    client = make(link.address, call_timeout=20)
    job_id = client.submit(command="true")
    link.refuse()
    with pytest.raises(Unavailable, match=f"{link.address} (within|for) 1.5 s"):
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
