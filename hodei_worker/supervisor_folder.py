"""One supervisor from the agent's side: its folder, which no other supervisor uses meanwhile, how it
is started and how it is reached."""

import asyncio
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple, cast

import hodei_worker
from hodei_worker.config import BadSetting, Settings
from hodei_worker.supervisor import wire
from hodei_worker.supervisor.__main__ import socket_in
from hodei_worker.supervisor.settings import SupervisorSettings, supervisor_settings
from hodei_worker.supervisor.user import JobUser

MOST_SUPERVISORS = 8
"""Supervisors of processes at the same time: the first one uses the state folder itself, and those
that are started while one with other settings still has jobs use folders in it. If all are taken,
the agent does not start."""

SCOPE_WITHIN_S = 5.0
"""Seconds that systemd may take to create a scope; after that the supervisor starts without one."""


def supervisor_folders(state: Path) -> list[Path]:
    """The folders that supervisors of processes may use. Releases before this one know their names."""
    return [state, *(state / f"seat-{number}" for number in range(1, MOST_SUPERVISORS))]


def wanted_settings(settings: Settings) -> SupervisorSettings:
    return supervisor_settings(settings.job_user, settings.log_limit)


class Frame(NamedTuple):
    header: wire.SupervisorHeader
    payload: bytes


class ConnectedSupervisor:
    """A supervisor that has answered our hello."""

    def __init__(
        self,
        folder: Path,
        connection: wire.Connection,
        hello: wire.SupervisorHelloHeader,
        early_frames: list[Frame],
    ) -> None:
        self.folder = folder
        self.connection = connection
        self.jobs = hello["jobs"]
        self.settings = hello.get("settings")  # an older release does not send them
        self.capabilities = hello.get(
            "capabilities", ["process"]
        )  # an older release does not send them
        self.leftovers: list[wire.Leftover] = []
        self._early_frames = early_frames  # received since the hello

    def deliver_frames(self, on_frame: wire.OnFrame) -> None:
        """Calls `on_frame` for each frame after the hello, also for those that came before this
        call."""
        self.connection.on_frame = on_frame
        while self._early_frames:
            on_frame(*self._early_frames.pop(0))

    async def exit(self) -> None:
        """Tells the supervisor to end, and waits until it has closed the connection."""
        self.connection.send("exit")
        await self.connection.ended

    async def hand_over(self) -> None:
        """Tells a supervisor of containers to end and to leave them running."""
        self.connection.send("hand_over")
        await self.connection.ended

    async def first_word(self, within_s: float) -> None:
        """Waits until it has said what it can run, or why nothing."""
        deadline = time.monotonic() + within_s
        while not self.capabilities and not self._early_frames and time.monotonic() < deadline:
            await asyncio.sleep(0.02)
        for frame in self._early_frames:
            if frame.header["op"] == "capabilities":
                self.capabilities = frame.header["capabilities"]


class Module(NamedTuple):
    """A Python module that is run as a supervisor, and its arguments behind folder and `keep`."""

    name: str
    arguments: list[str]


async def connect(
    folder: Path, settings: Settings, start: bool, module: Module | None = None
) -> ConnectedSupervisor | None:
    """`module`: what runs there; None: a supervisor of processes. Returns None if no supervisor runs
    there (and `start` is False), or if it closed the connection at once. Raises BadSetting if it
    cannot be started."""
    frames: list[Frame] = []
    first_frame = asyncio.Event()

    def on_frame(header: wire.SupervisorHeader, payload: bytes) -> None:
        frames.append(Frame(header, payload))
        first_frame.set()

    connection = await _open_connection(folder, settings, on_frame, module, start)
    if connection is None:
        return None
    connection.ended.add_done_callback(lambda _: first_frame.set())
    keep = settings.on_worker_exit == "keep"
    connection.send("hello", version=wire.VERSION, keep=keep)
    await first_frame.wait()
    if not frames:
        return None
    hello = cast(wire.SupervisorHelloHeader, frames.pop(0).header)  # always the first frame
    return ConnectedSupervisor(folder, connection, hello, frames)


def has_unreported_jobs(folder: Path) -> bool:
    """Whether a supervisor that died there has left jobs that no server knows the end of: another
    one must be started to report them."""
    journal = folder / "journal"
    return journal.exists() and journal.stat().st_size > 0


async def _open_connection(
    folder: Path,
    settings: Settings,
    on_frame: wire.OnFrame,
    module: Module | None,
    start: bool,
) -> wire.Connection | None:
    if not folder.exists() and not start:
        return None
    if start:
        make_folder(folder, settings)
    path = str(socket_in(folder))
    started: subprocess.Popen[bytes] | None = None
    loop = asyncio.get_running_loop()
    for _ in range(200):
        try:
            _, connection = await loop.create_unix_connection(
                lambda: wire.Connection(on_frame), path
            )
            return connection
        except OSError:
            if not start:
                return None
            started = started or _start(folder, settings, module or _processes(settings))
        if started.poll() is not None:
            log = folder / "supervisor.log"
            words = log.read_text(errors="replace")[-500:].strip()
            raise BadSetting(f"the supervisor ended at its start; the last lines of {log}: {words}")
        await asyncio.sleep(0.02)
    raise BadSetting(f"the supervisor did not answer within 4 s; see {folder / 'supervisor.log'}")


def make_folder(folder: Path, settings: Settings) -> None:
    """Makes the folder, below which the jobs' folders and scripts are. A job user may pass through
    it; the worker's own files in it can be read only by the worker's user. Raises BadSetting if the
    job user cannot reach the folder."""
    folder.mkdir(exist_ok=True, mode=0o700)
    if settings.job_user is None:
        return
    user = JobUser.named(settings.job_user)
    if folder.stat().st_uid == os.geteuid():
        folder.chmod(folder.stat().st_mode & 0o777 | 0o011)
    if closed := user.first_closed_folder(folder):
        raise BadSetting(
            f"--job-user {user.name}: this user cannot enter {closed}, and jobs run below {folder};"
            f" choose another --state-dir, or run chmod o+x {closed}"
        )


def _processes(settings: Settings) -> Module:
    user = [settings.job_user] if settings.job_user else []
    return Module("hodei_worker.supervisor", [str(settings.log_limit), *user])


def _start(folder: Path, settings: Settings, module: Module) -> subprocess.Popen[bytes]:
    """The supervisor gets its own session, "/" as folder, and an environment that jobs may see."""
    environment = environment_for_jobs()
    command = [
        *_scope(environment),
        sys.executable,
        "-P",
        "-m",
        module.name,
        str(folder),
        settings.on_worker_exit,
        *module.arguments,
    ]
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    log = os.open(folder / "supervisor.log", flags, 0o600)
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
    """Returns the words of a command that runs the supervisor in a delegated systemd scope: cgroups
    below a scope belong to us, and it outlives the agent's unit. (A delegated unit could not be
    restarted while its jobs run: systemd fails with 219/CGROUP.) Returns none if systemd does not
    run or refuses the scope."""
    program = shutil.which("systemd-run")
    runs = "INVOCATION_ID" in os.environ or Path("/run/systemd/system").is_dir()
    if not runs or program is None:
        return []
    manager = [] if os.geteuid() == 0 else ["--user"]
    if manager:
        for name in ("XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"):  # the address of that manager
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
    """Returns the supervisor's environment. A job may be able to read it, so it holds no secret."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TZ") if key in os.environ}
    return kept | ({"PYTHONPATH": path} if (path := _python_path()) else {})


def _python_path() -> str:
    """Returns the absolute paths of our own PYTHONPATH. Our sources are added if Python found them
    only because it searches the current folder first (`python -m` in a checkout)."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    found = [path for path in given if os.path.isabs(path)]  # noqa: PTH117
    sources = str(Path(hodei_worker.__file__).resolve().parents[1])
    if not sys.flags.safe_path and sys.path and os.path.realpath(sys.path[0]) == sources:
        found.append(sources)
    return os.pathsep.join(found)
