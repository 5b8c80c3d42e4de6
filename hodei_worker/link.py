"""The agent's end of the supervisor's socket: finds the supervisor that runs, or starts one."""

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from loguru import logger

import hodei_worker
from hodei_worker.config import BadSetting, Settings
from hodei_worker.supervisor import wire
from hodei_worker.supervisor.__main__ import socket_in
from hodei_worker.supervisor.user import JobUser


class SupervisorDied(Exception):
    """It hung up while we were connected. Where it is dead the next one reports its jobs lost;
    where it lives its jobs run on."""


class SupervisorGone(Exception):
    """It does not want us: another agent is connected to it."""


class Link:
    def __init__(self, connection: wire.Connection, jobs: list[dict[str, Any]], meanwhile: list[tuple[wire.Header, bytes]]) -> None:
        self._connection = connection
        self._meanwhile = meanwhile  # heard since the hello
        self.jobs = jobs  # that the supervisor already has: to be adopted

    @classmethod
    async def open(cls, settings: Settings) -> "Link":
        """BadSetting: the job user cannot get to its folders. SupervisorGone: five times it hung up
        at
        once (one that was about to end for want of work may do so once)."""
        if settings.job_user:
            _let_pass(settings.state_dir, JobUser.named(settings.job_user))
        for _ in range(5):
            if link := await cls._open(settings):
                return link
            await asyncio.sleep(0.2)
        raise SupervisorGone("the supervisor closed its socket at once: another agent is connected to it")

    @classmethod
    async def _open(cls, settings: Settings) -> "Link | None":
        heard: list[tuple[wire.Header, bytes]] = []
        greeted = asyncio.Event()

        def hear(header: wire.Header, payload: bytes) -> None:
            heard.append((header, payload))
            greeted.set()

        connection = await _connect(settings, hear)
        connection.ended.add_done_callback(lambda _: greeted.set())
        connection.send("hello", version=wire.VERSION, keep=settings.on_worker_exit == "keep")
        await greeted.wait()
        if not heard:
            return None
        hello = heard.pop(0)[0]
        if hello.get("release") != hodei_worker.__version__ and not hello["jobs"]:
            logger.info("the supervisor is of release {} and holds nothing: it is replaced", hello.get("release"))
            connection.send("exit")
            await connection.ended
            return None
        return cls(connection, hello["jobs"], heard)

    def send(self, op: str, payload: bytes = b"", **header: Any) -> None:
        """Never waits: what the agent says is small, and the supervisor reads it at once."""
        self._connection.send(op, payload, **header)

    async def run(self, hear: wire.Hear) -> None:
        """Hands each frame over; SupervisorDied at its end."""
        self._connection.hear = hear
        while self._meanwhile:
            hear(*self._meanwhile.pop(0))
        await self._connection.ended
        raise SupervisorDied("the supervisor ended")

    def close(self) -> None:
        self._connection.close()


def _let_pass(state: Path, user: JobUser) -> None:
    """Jobs' folders and scripts are below the state folder; what is ours in it only we can read."""
    if state.stat().st_uid == os.geteuid():
        state.chmod(state.stat().st_mode & 0o777 | 0o011)
    if folder := user.stopped_at(state):
        raise BadSetting(
            f"--job-user {user.name}: {folder} is closed to it, and jobs run below {state};"
            f" choose another --state-dir, or chmod o+x {folder}"
        )


async def _connect(settings: Settings, hear: wire.Hear) -> wire.Connection:
    path = str(socket_in(settings.state_dir))
    started: subprocess.Popen[bytes] | None = None
    loop = asyncio.get_running_loop()
    for _ in range(200):
        try:
            _, connection = await loop.create_unix_connection(lambda: wire.Connection(hear), path)
            return connection
        except OSError:
            started = started or _start(settings)
        if started.poll() is not None:
            log = settings.state_dir / "supervisor.log"
            raise BadSetting(f"the supervisor does not start; {log} ends: {log.read_text()[-500:].strip()}")
        await asyncio.sleep(0.02)
    raise BadSetting(f"the supervisor does not answer; see {settings.state_dir / 'supervisor.log'}")


def _start(settings: Settings) -> subprocess.Popen[bytes]:
    """In its own session, in "/", and with an environment that jobs may see."""
    user = [settings.job_user] if settings.job_user else []
    command = [
        sys.executable, "-P", "-m", "hodei_worker.supervisor",
        str(settings.state_dir), settings.on_worker_exit, str(settings.log_limit), *user,
    ]  # fmt: skip
    log = os.open(settings.state_dir / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment_for_jobs(),
            start_new_session=True, cwd="/",
        )  # fmt: skip
    finally:
        os.close(log)


def environment_for_jobs() -> dict[str, str]:
    """What the supervisor itself is started with: nothing that a job, which may read its
    environment, must not see."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TZ") if key in os.environ}
    return kept | ({"PYTHONPATH": path} if (path := _python_path()) else {})


def _python_path() -> str:
    """Of our own PYTHONPATH what does not depend on the folder in which we were started; and our
    own sources,
    where they were found only because Python looks into that folder first (`python -m` in a
    checkout)."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    found = [path for path in given if os.path.isabs(path)]  # noqa: PTH117
    sources = str(Path(hodei_worker.__file__).resolve().parents[1])
    if not sys.flags.safe_path and sys.path and os.path.realpath(sys.path[0]) == sources:
        found.append(sources)
    return os.pathsep.join(found)
