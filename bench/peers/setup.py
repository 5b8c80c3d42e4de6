"""What the peers need: an environment of their own, so that their packages never meet ours, and the
servers they stand on.

All of it is kept in one folder, and found there the next time.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

PYTHON = [
    "celery[redis]>=5.5",
    "dramatiq[redis]>=1.18",
    "procrastinate>=3.2",
    "pgqueuer>=1.0",
    "asyncpg>=0.30",
    "psycopg[binary,pool]>=3.2",
    "redis>=5.2",
]
NODE = ["graphile-worker@>=0.16", "pg@>=8.13"]
# Debian's command on the path changes to a user of its own; the one behind it runs as whoever
# starts it.
RABBITMQ = (
    Path("/usr/lib/rabbitmq/bin/rabbitmq-server"),
    Path("/opt/rabbitmq/sbin/rabbitmq-server"),
)
POLICY = Path("/usr/sbin/policy-rc.d")


class Unavailable(Exception):
    """Why a peer cannot be measured here, in words."""


@dataclass
class Tools:
    folder: Path
    programs: dict[str, Path] = field(
        default_factory=dict
    )  # python, node, redis-server, rabbitmq-server
    missing: dict[str, str] = field(default_factory=dict)  # of those: why

    def __getitem__(self, name: str) -> Path:
        if name in self.missing:
            raise Unavailable(self.missing[name])
        return self.programs[name]

    @property
    def modules(self) -> Path:
        return self.folder / "node_modules"


def cache() -> Path:
    return (
        Path(os.environ.get("HODEI_PEERS") or Path.home() / ".cache" / "hodei-bench-peers")
        .expanduser()
        .absolute()
    )


def prepare(folder: Path) -> Tools:
    """What cannot be had is in `missing` with its reason: only the peers that need it are left
    out."""
    folder.mkdir(parents=True, exist_ok=True)
    tools = Tools(folder)
    steps: dict[str, Callable[[Path], Path]] = {
        "python": _python,
        "node": _node,
        "redis-server": lambda _: _server("redis-server", _on_path("redis-server")),
        "rabbitmq-server": lambda _: _server("rabbitmq-server", _rabbitmq),
    }
    for name, step in steps.items():
        try:
            tools.programs[name] = step(folder)
        except (Unavailable, OSError) as error:
            tools.missing[name] = str(error)
    return tools


def _python(folder: Path) -> Path:
    python = folder / "venv" / "bin" / "python"
    with _once(folder / "python-installed", PYTHON) as needed:
        if needed:
            shutil.rmtree(folder / "venv", ignore_errors=True)
            _run(sys.executable, "-m", "venv", str(folder / "venv"))
            _run(str(python), "-m", "pip", "install", "--disable-pip-version-check", "-q", *PYTHON)
    return python


def _node(folder: Path) -> Path:
    node, npm = shutil.which("node"), shutil.which("npm")
    if not node or not npm:
        raise Unavailable("node and npm are not on this machine")
    with _once(folder / "node-installed", NODE) as needed:
        if needed:
            _run(npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", *NODE)
    return Path(node)


@contextmanager
def _once(stamp: Path, wanted: list[str]) -> Iterator[bool]:
    """Whether that is still to be done; the stamp is written when the block ended well."""
    words = "\n".join(wanted)
    needed = not stamp.exists() or stamp.read_text() != words
    yield needed
    if needed:
        stamp.write_text(words)


def _server(package: str, find: Callable[[], Path | None]) -> Path:
    found = find()
    if not found:
        _apt_install(package)
        found = find()
    if not found:
        raise Unavailable(f"{package} is not on this machine")
    return found


def _on_path(name: str) -> Callable[[], Path | None]:
    return lambda: Path(found) if (found := shutil.which(name)) else None


def _rabbitmq() -> Path | None:
    return next((path for path in RABBITMQ if path.exists()), None) or _on_path("rabbitmq-server")()


def _apt_install(package: str) -> None:
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise Unavailable(
            f"{package} is not on this machine, and only root with apt-get could install it"
        )
    _run("apt-get", "update", "-qq")
    with _no_service_starts():
        _run("apt-get", "install", "-y", "-qq", "--no-install-recommends", package)


@contextmanager
def _no_service_starts() -> Iterator[None]:
    """Debian starts what it installs; we want the programs only, and start our own."""
    ours = not POLICY.exists()
    if ours:
        POLICY.write_text("#!/bin/sh\nexit 101\n")
        POLICY.chmod(0o755)
    try:
        yield
    finally:
        if ours:
            POLICY.unlink(missing_ok=True)


def _run(*argv: str) -> None:
    print(f"setting up: {' '.join(argv)}", file=sys.stderr, flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        argv, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment, check=False
    )
    if done.returncode:
        last = ((done.stderr or done.stdout).strip().splitlines() or ["it said nothing"])[-1]
        raise Unavailable(f"{Path(argv[0]).name} failed: {last}")
