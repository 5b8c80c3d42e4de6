"""The agent's end of the supervisor's socket: finds the supervisor that runs, or starts one."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from loguru import logger

import hodei_worker
from hodei_worker.config import BadSetting, Settings
from hodei_worker.supervisor import wire
from hodei_worker.supervisor.__main__ import socket_in
from hodei_worker.supervisor.service import environment_for_jobs


class SupervisorDied(Exception):
    """While we were connected; the next one will report its jobs lost."""


class SupervisorGone(Exception):
    """It does not want us: another agent is connected to it."""


class Link:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, jobs: list[dict[str, Any]]) -> None:
        self._reader = reader
        self._writer = writer
        self.jobs = jobs  # that the supervisor already has: to be adopted

    @classmethod
    async def open(cls, settings: Settings) -> "Link":
        """SupervisorGone: five times it hung up at once (one that was about to end for want of work may do so once)."""
        for _ in range(5):
            if link := await cls._open(settings):
                return link
            await asyncio.sleep(0.2)
        raise SupervisorGone("the supervisor closed its socket at once: another agent is connected to it")

    @classmethod
    async def _open(cls, settings: Settings) -> "Link | None":
        reader, writer = await _connect(settings)
        writer.write(wire.encode({"op": "hello", "version": wire.VERSION, "keep": settings.on_worker_exit == "keep"}))
        frame = await wire.read(reader)
        if frame is None:
            return None
        if frame[0].get("release") != hodei_worker.__version__ and not frame[0]["jobs"]:
            logger.info("the supervisor is of release {} and holds nothing: it is replaced", frame[0].get("release"))
            writer.write(wire.encode({"op": "exit"}))
            while await wire.read(reader):
                continue
            writer.close()
            return None
        return cls(reader, writer, frame[0]["jobs"])

    def send(self, op: str, payload: bytes = b"", **header: Any) -> None:
        """Never waits: what the agent says is small, and the supervisor reads it at once."""
        self._writer.write(wire.encode({"op": op, **header}, payload))

    async def run(self, hear: Callable[[wire.Header, bytes], None]) -> None:
        """Hands each frame over; SupervisorDied at its end."""
        while frame := await wire.read(self._reader):
            hear(*frame)
        raise SupervisorDied("the supervisor ended")

    def close(self) -> None:
        self._writer.close()


async def _connect(settings: Settings) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    path = str(socket_in(settings.state_dir))
    started: subprocess.Popen[bytes] | None = None
    for _ in range(200):
        try:
            return await asyncio.open_unix_connection(path, limit=wire.MOST)
        except OSError:
            started = started or _start(settings)
        if started.poll() is not None:
            log = settings.state_dir / "supervisor.log"
            raise BadSetting(f"the supervisor does not start; {log} ends: {log.read_text()[-500:].strip()}")
        await asyncio.sleep(0.02)
    raise BadSetting(f"the supervisor does not answer; see {settings.state_dir / 'supervisor.log'}")


def _start(settings: Settings) -> subprocess.Popen[bytes]:
    """In its own session, and with an environment that jobs may see."""
    user = [settings.job_user] if settings.job_user else []
    command = [
        sys.executable, "-m", "hodei_worker.supervisor", str(settings.state_dir), settings.on_worker_exit, str(settings.log_limit), *user,
    ]  # fmt: skip
    log = os.open(settings.state_dir / "supervisor.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment_for_jobs(), start_new_session=True
        )
    finally:
        os.close(log)
