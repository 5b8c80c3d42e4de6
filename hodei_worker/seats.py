"""One supervisor, from the agent's side: where it sits, whether it lives, how it is started and
spoken to."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import hodei_worker
from hodei_worker.config import BadSetting, Settings
from hodei_worker.supervisor import wire
from hodei_worker.supervisor.__main__ import socket_in
from hodei_worker.supervisor.user import JobUser

SEATS = 8
"""Folders for supervisors: the state folder itself, and others in it for those that are started
while one with other settings still has jobs."""


SCOPE_WITHIN_S = 5.0
"""For systemd to give one, tried once at a supervisor's start."""


def seats(state: Path) -> list[Path]:
    return [state, *(state / f"seat-{number}" for number in range(1, SEATS))]


def wanted(settings: Settings) -> dict[str, Any]:
    """What a supervisor is started with and cannot change while it lives."""
    return {
        "job_user": settings.job_user,
        "log_limit": settings.log_limit,
        "path": os.environ.get("PATH"),
        "release": hodei_worker.__version__,
        "version": wire.VERSION,
    }


class Seated:
    """A supervisor that we are connected to and that has greeted us."""

    def __init__(
        self,
        seat: Path,
        connection: wire.Connection,
        hello: wire.Header,
        meanwhile: list[tuple[wire.Header, bytes]],
    ) -> None:
        self.seat = seat
        self.connection = connection
        self.jobs: list[dict[str, Any]] = hello["jobs"]
        self.settings = hello.get("settings")  # an older release does not say
        self._meanwhile = meanwhile  # heard since the hello

    def pass_on(self, hear: wire.Hear) -> None:
        """Each frame, from the first one after the hello."""
        self.connection.hear = hear
        while self._meanwhile:
            hear(*self._meanwhile.pop(0))

    async def exit(self) -> None:
        """At once: it holds nothing, or nothing that anybody wants."""
        self.connection.send("exit")
        await self.connection.ended


async def greet(seat: Path, settings: Settings, start: bool) -> Seated | None:
    """None: nobody sits there, or it hung up at once; BadSetting: it cannot be started."""
    heard: list[tuple[wire.Header, bytes]] = []
    greeted = asyncio.Event()

    def hear(header: wire.Header, payload: bytes) -> None:
        heard.append((header, payload))
        greeted.set()

    connection = await _connect(seat, settings, hear, start)
    if connection is None:
        return None
    connection.ended.add_done_callback(lambda _: greeted.set())
    keep = settings.on_worker_exit == "keep"
    connection.send("hello", version=wire.VERSION, keep=keep)
    await greeted.wait()
    if not heard:
        return None
    return Seated(seat, connection, heard.pop(0)[0], heard)


def left_behind(seat: Path) -> bool:
    """Whether a supervisor that died there has left jobs that are to be told of."""
    journal = seat / "journal"
    return journal.exists() and journal.stat().st_size > 0


async def _connect(
    seat: Path, settings: Settings, hear: wire.Hear, start: bool
) -> wire.Connection | None:
    if not seat.exists() and not start:
        return None
    if start:
        make(seat, settings)
    path = str(socket_in(seat))
    started: subprocess.Popen[bytes] | None = None
    loop = asyncio.get_running_loop()
    for _ in range(200):
        try:
            _, connection = await loop.create_unix_connection(lambda: wire.Connection(hear), path)
            return connection
        except OSError:
            if not start:
                return None
            started = started or _start(seat, settings)
        if started.poll() is not None:
            log = seat / "supervisor.log"
            words = log.read_text(errors="replace")[-500:].strip()
            raise BadSetting(f"the supervisor does not start; {log} ends: {words}")
        await asyncio.sleep(0.02)
    raise BadSetting(f"the supervisor does not answer; see {seat / 'supervisor.log'}")


def make(seat: Path, settings: Settings) -> None:
    """Jobs' folders and scripts are below it; what is ours in it only we can read.

    BadSetting: the job user cannot get to its folders.
    """
    seat.mkdir(exist_ok=True, mode=0o700)
    if settings.job_user is None:
        return
    user = JobUser.named(settings.job_user)
    if seat.stat().st_uid == os.geteuid():
        seat.chmod(seat.stat().st_mode & 0o777 | 0o011)
    if folder := user.stopped_at(seat):
        raise BadSetting(
            f"--job-user {user.name}: {folder} is closed to it, and jobs run below {seat};"
            f" choose another --state-dir, or chmod o+x {folder}"
        )


def _start(seat: Path, settings: Settings) -> subprocess.Popen[bytes]:
    """In its own session, in "/", and with an environment that jobs may see."""
    user = [settings.job_user] if settings.job_user else []
    environment = environment_for_jobs()
    command = [
        *_scope(environment),
        sys.executable,
        "-P",
        "-m",
        "hodei_worker.supervisor",
        str(seat),
        settings.on_worker_exit,
        str(settings.log_limit),
        *user,
    ]
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    log = os.open(seat / "supervisor.log", flags, 0o600)
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
            cwd="/",
        )
    finally:
        os.close(log)


def _scope(environment: dict[str, str]) -> list[str]:
    """Under systemd a scope of its own, which is delegated: cgroups below it are ours, and it
    outlives the agent's unit. (A delegated unit could not be restarted while jobs of it live:
    219/CGROUP.) Where it cannot be had the supervisor starts as without systemd."""
    program = shutil.which("systemd-run")
    runs = "INVOCATION_ID" in os.environ or Path("/run/systemd/system").is_dir()
    if not runs or program is None:
        return []
    manager = [] if os.geteuid() == 0 else ["--user"]
    if manager:
        for name in ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"):  # where that manager is
            if name in os.environ:
                environment[name] = os.environ[name]
    words = [program, *manager, "--scope", "--quiet", "--collect", "--property=Delegate=yes"]
    name = f"hodei-jobs-{os.getpid()}-{time.time_ns()}"
    try:
        subprocess.run(
            [*words, "--", "true"],
            check=True,
            capture_output=True,
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=SCOPE_WITHIN_S,
        )
    except (OSError, subprocess.SubprocessError):
        return []
    return [*words, f"--unit={name}", "--"]


def environment_for_jobs() -> dict[str, str]:
    """What the supervisor itself is started with: nothing that a job, which may read its
    environment, must not see."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TZ") if key in os.environ}
    return kept | ({"PYTHONPATH": path} if (path := _python_path()) else {})


def _python_path() -> str:
    """Of our own PYTHONPATH what does not depend on the folder in which we were started; and our
    own sources, where they were found only because Python looks into that folder first (`python -m`
    in a checkout)."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    found = [path for path in given if os.path.isabs(path)]  # noqa: PTH117
    sources = str(Path(hodei_worker.__file__).resolve().parents[1])
    if not sys.flags.safe_path and sys.path and os.path.realpath(sys.path[0]) == sources:
        found.append(sources)
    return os.pathsep.join(found)
