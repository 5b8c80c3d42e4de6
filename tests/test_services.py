"""Loops that die are started again, and a server whose loop cannot live ends."""

import asyncio
import subprocess
import sys
from collections.abc import Iterator

import pytest

from hodei import services
from hodei.local.embedded_postgres import free_port
from hodei.services import EXIT_UNSOUND, Unsound, keep_running
from tests.running import Hodei


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(services, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(services, "LONGEST_PAUSE_S", 0.004)
    yield


@pytest.mark.usefixtures("quick")
def test_a_loop_that_dies_is_started_again() -> None:
    lives = 0

    async def service() -> None:
        nonlocal lives
        lives += 1
        if lives < 5:
            raise KeyError("a value that nobody thought of")
        await asyncio.sleep(10)

    async def story() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.0):
                await keep_running("test", service)

    asyncio.run(story())
    assert lives == 5


@pytest.mark.usefixtures("quick")
def test_ten_deaths_within_a_minute_are_unsound() -> None:
    lives = 0

    async def service() -> None:
        nonlocal lives
        lives += 1
        raise ValueError("always")

    with pytest.raises(Unsound, match=r"the loop test died 10 times within 60 s: always"):
        asyncio.run(keep_running("test", service))
    assert lives == services.MOST_DEATHS


def test_pauses_double_up_to_five_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("hodei.services.asyncio.sleep", sleep)

    async def service() -> None:
        raise ValueError

    with pytest.raises(Unsound):
        asyncio.run(keep_running("test", service))
    assert slept == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0, 5.0]


DIES = """
import hodei.fleet.balance, hodei.services
async def run(self):
    raise RuntimeError("a loop that cannot live")
hodei.fleet.balance.Balancer.run = run
hodei.services.LONGEST_PAUSE_S = 0.2
from hodei.cli.server import main
main()
"""


def test_a_server_with_an_unsound_loop_drains_and_ends_with_70(fresh: Hodei) -> None:
    ran = subprocess.run(
        [sys.executable, "-c", DIES, "--grpc", f"127.0.0.1:{free_port()}"],
        env={"DATABASE_URL": fresh.url, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == EXIT_UNSOUND, ran.stderr[-2000:]
    assert "the loop balance died 10 times within 60 s: a loop that cannot live" in ran.stderr
    assert "this server stops claiming and ends" in ran.stderr


HANGS = """
import os, time
import hodei.fleet.announcement, hodei.server
def end(self):
    {stuck}  # neither this call nor anything else of the event loop goes on
hodei.fleet.announcement.Announcement.end = end
hodei.server.END_WITHIN_S = 1.0 - 35.0  # 35 s: what workers and calls are given
from hodei.cli.server import main
main()
"""


@pytest.mark.parametrize(
    ("stuck", "is_read"), [("time.sleep(300)", True), ("os.write(2, b'x' * 10_000_000)", False)]
)
def test_a_server_that_does_not_come_to_its_end_is_ended_with_70(
    fresh: Hodei, stuck: str, is_read: bool
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HANGS.format(stuck=stuck), "--grpc", f"127.0.0.1:{free_port()}"],
        env={"DATABASE_URL": fresh.url, "PATH": "/usr/bin:/bin"},
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stderr
        while "hodei-server is ready" not in server.stderr.readline():
            assert server.poll() is None
        server.terminate()
        if not is_read:  # its log is full, too
            assert server.wait(30) == EXIT_UNSOUND
            return
        _, said = server.communicate(timeout=30)
    assert server.returncode == EXIT_UNSOUND, said[-2000:]
    assert "has not ended 1 s after it was asked to: it ends now" in said
    assert "<string>:5" in said, "where it was"
