"""How programs use a client: from many threads and tasks, slowly, after a fork, after its end."""

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing

import grpc
import grpc.aio
import pytest

from hodei.client import AsyncHodei, Closed
from hodei.client import Hodei as Client
from hodei.client.following import BEHIND_ALL, Waiting
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.client.conftest import Make, awaited
from tests.running import Hodei

NEVER = {"command": "true", "labels": {"never": "there"}}
"""No worker here can take it."""

SLOW_BYTES = 24 << 20


def test_a_thousand_jobs_from_many_threads(hodei: Hodei) -> None:
    """All of them use one client."""
    with Client(hodei.addresses, call_timeout=60) as client, ThreadPoolExecutor(50) as threads:
        ids = list(threads.map(lambda n: client.submit(command=f"exit {n % 2}"), range(1000)))
        jobs = list(threads.map(lambda job_id: client.wait(job_id, 120), ids))
    assert [job.job_id for job in jobs] == ids
    assert [job.exit_code for job in jobs] == [0, 1] * 500


def test_waiting_needs_no_place_among_the_waits_of_a_server(hodei: Hodei) -> None:
    """A server has 400 waits for one address. Whoever waits beyond that is answered all the same."""

    async def run() -> set[str]:
        async with AsyncHodei(hodei.addresses[0], call_timeout=60) as client:
            job_id = await client.submit(NEVER)
            async with asyncio.TaskGroup() as group:
                waits = [group.create_task(client.wait(job_id, 60)) for _ in range(410)]
                while not await refused(hodei.addresses[0], job_id):
                    pass
                await client.cancel(job_id)
            return {wait.result().state for wait in waits}

    assert asyncio.run(run()) == {"CANCELLED"}


async def refused(address: str, job_id: str) -> bool:
    """Whether the server has too many waits to take this one."""
    async with grpc.aio.insecure_channel(address) as channel:
        stub = hodei_pb2_grpc.JobServiceStub(channel)
        try:
            await anext(aiter(stub.WaitJobs(pb.WaitJobsRequest(job_ids=[job_id]), timeout=10)))
        except grpc.aio.AioRpcError as error:
            assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            return True
    return False


def test_a_server_of_the_release_before_is_waited_for_by_its_logs(
    hodei: Hodei, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no WaitJobs: a cursor behind the log's last chunk ends with the job, and nothing of the
    log is sent."""
    monkeypatch.setattr(Waiting, "method", "ReadLogs")
    client = make(hodei.addresses)
    job_id = client.submit(command="for n in 1 2 3; do echo $n; sleep 0.1; done")
    assert client.wait(job_id, 60).state == "SUCCEEDED"
    (last,) = hodei.sql("SELECT max(lease) FROM job_logs WHERE job_id = %s", job_id)
    assert 0 < last[0] < int(BEHIND_ALL.partition(".")[0])


def test_a_slow_reader_gets_all_and_keeps_little(hodei: Hodei, make: Make) -> None:
    """Chunks wait at the server, not in the reader's memory."""
    client = make(hodei.addresses)
    job_id = client.submit(command=f"head -c {SLOW_BYTES} /dev/zero")
    client.wait(job_id, 120)
    chunks = client.logs(job_id)
    size = len(next(chunks).data)
    before = resident()
    time.sleep(0.5)
    grown = resident() - before
    assert grown < SLOW_BYTES / 2
    assert size + sum(len(chunk.data) for chunk in chunks) == SLOW_BYTES


def resident() -> int:
    """Bytes of memory of this process."""
    gc.collect()
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_a_cancelled_task_ends_its_call(hodei: Hodei) -> None:
    async def run() -> None:
        async with AsyncHodei(hodei.addresses) as client:
            job_id = await client.submit(NEVER)
            waiting = asyncio.create_task(client.wait(job_id))
            reading = asyncio.create_task(anext(client.logs(job_id, follow=True)))
            await asyncio.sleep(0.3)
            for task in (waiting, reading):
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await client.wait(job_id)
            assert (await client.cancel(job_id)).state == "CANCELLED"

    asyncio.run(run())


def test_leaving_a_loop_ends_the_call(hodei: Hodei) -> None:
    """Nothing is left of it, as asyncio would tell."""

    async def run() -> None:
        async with AsyncHodei(hodei.addresses) as client:
            job_id = await client.submit(command="echo begun; exec sleep 60")
            async with aclosing(client.logs(job_id, follow=True)) as chunks:
                async for chunk in chunks:
                    assert chunk.data == b"begun\n"
                    break
            await client.cancel(job_id)
            assert len(asyncio.all_tasks()) == 1

    asyncio.run(run(), debug=True)


def test_a_closed_client_says_so(hodei: Hodei, make: Make) -> None:
    client = make(hodei.addresses)
    job_id = client.submit(NEVER)
    client.cancel(job_id)
    client.close()
    client.close()
    for verb in (client.get, client.wait, lambda job: list(client.logs(job))):
        with pytest.raises(Closed, match=r"^this client is closed: make another one$"):
            verb(job_id)


def test_closing_ends_the_calls_of_other_threads_and_tasks(hodei: Hodei) -> None:
    ended: list[BaseException] = []

    def wait() -> None:
        try:
            blocking.wait(job_id)
        except Closed as error:
            ended.append(error)

    async def run() -> None:
        client = AsyncHodei(hodei.addresses)
        waiting = asyncio.create_task(client.wait(job_id))
        reading = asyncio.create_task(anext(client.logs(job_id, follow=True)))
        await asyncio.sleep(0.3)
        await client.close()
        for task in (waiting, reading):
            with pytest.raises(Closed, match=r"^this client was closed during the call$"):
                await task

    with Client(hodei.addresses) as other:
        blocking = Client(hodei.addresses)
        job_id = other.submit(NEVER)
        thread = threading.Thread(target=wait)
        thread.start()
        asyncio.run(run())
        blocking.close()
        thread.join(20)
        assert [str(error) for error in ended] == ["this client was closed during the call"]
        other.cancel(job_id)


def test_a_client_belongs_to_one_event_loop(hodei: Hodei) -> None:
    client = AsyncHodei(hodei.addresses)
    asyncio.run(awaited(client.list(limit=1)))
    with pytest.raises(
        Closed, match=r"^this client belongs to another event loop: make one in each$"
    ):
        asyncio.run(awaited(client.list(limit=1)))


FORKED = """
import os, sys
from hodei.client import Closed, Hodei

before = Hodei()
used = Hodei()
job_id = used.submit(command="true")
unused = Hodei()
if os.fork() == 0:
    try:
        used.get(job_id)
    except Closed as error:
        print("child:", error, flush=True)
    print("child:", Hodei().get(job_id).job_id == job_id, flush=True)
    print("child:", unused.get(job_id).job_id == job_id, flush=True)
    os._exit(0)
os.wait()
print("parent:", used.get(job_id).job_id == job_id)
"""


def test_a_fork_needs_a_client_of_its_own(hodei: Hodei) -> None:
    env = os.environ | {"HODEI_SERVER_ADDRESS": hodei.addresses[0]}
    ran = subprocess.run(
        [sys.executable, "-c", FORKED],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.stdout.splitlines() == [
        "child: this client was used before this process was forked: make one after the fork",
        "child: True",
        "child: True",
        "parent: True",
    ], ran.stderr


def test_a_program_ends_though_it_closed_nothing(hodei: Hodei) -> None:
    code = """if True:
        from hodei.client import Hodei
        client = Hodei()
        job_id = client.submit(command="echo begun; exec sleep 60")
        print(next(client.logs(job_id, follow=True)).text)
        client.cancel(job_id)
    """
    env = os.environ | {"HODEI_SERVER_ADDRESS": hodei.addresses[0]}
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "begun\n\n", "")
