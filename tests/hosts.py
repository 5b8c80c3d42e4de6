"""Workers of each kind that a host may have: as root, as root with a job user, as an ordinary
user."""

import functools
import os
import pwd
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from hodei_worker.supervisor.cgroups import own_cgroup
from tests.running import Hodei, start
from tests.worker_process import SANE_PATH, Worker

ROOT = os.geteuid() == 0
TREE = Path(__file__).parents[1]
JOB_USER, ORDINARY = "nobody", "daemon"
CAN_COMPILE = bool(
    shutil.which(str(sysconfig.get_config_var("CC")).split()[0])
    and (Path(sysconfig.get_path("include")) / "Python.h").exists()
)
"""There are a C compiler and Python's headers."""


@functools.cache
def python_for(user: str) -> tuple[str, str]:
    """An interpreter that this user can run, and the PYTHONPATH with which it finds us."""
    entry = pwd.getpwnam(user)
    path = f"{TREE}:{sysconfig.get_path('purelib')}"
    for python in (sys.executable, shutil.which("python3", path=SANE_PATH) or "python3"):
        try:
            subprocess.run(
                [python, "-c", "import hodei_worker, grpc, orjson"],
                check=True,
                capture_output=True,
                cwd="/",
                env={"PYTHONPATH": path},
                user=entry.pw_uid,
                group=entry.pw_gid,
                extra_groups=[],
            )
        except (OSError, subprocess.CalledProcessError):
            continue
        return str(python), path
    pytest.skip(
        f"no Python here that {user} may run finds our packages; tools/test-unprivileged has one"
    )


def make(hodei: Hodei, folder: Path, kind: str, name: str = "w", *flags: str) -> Worker:
    """A worker that is not up yet. The state folder is made by the worker itself."""
    home = folder / kind
    home.mkdir(exist_ok=True)
    worker = Worker(hodei, kind, home / name, flags)
    kind, _, where = kind.partition("-in-")
    if (kind, where) != ("ordinary", "") and not ROOT:
        pytest.skip("only root can start a worker of this kind")
    if where == "bare" and ROOT:
        worker.prefix = ("unshare", "-m", "sh", "-c", HIDE, "sh")
    if kind == "job-user":
        worker.flags = ("--job-user", JOB_USER, *flags)
    if kind == "ordinary" and ROOT:
        worker.user = pwd.getpwnam(ORDINARY)
        os.chown(home, worker.user.pw_uid, worker.user.pw_gid)
        worker.python, path = python_for(ORDINARY)
        worker.environment = {"HOME": str(home), "PYTHONPATH": path}
        if where == "delegated":
            ids = f"--reuid={worker.user.pw_uid} --regid={worker.user.pw_gid}"
            enter = f"echo 0 >{delegated(worker.user)}/cgroup.procs"
            become = f'{enter} && exec setpriv {ids} --clear-groups -- "$@"'
            worker.prefix, worker.user = ("sh", "-c", become, "sh"), None
    return worker


@pytest.fixture(scope="module")
def host_system(
    pg_server: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Hodei]:
    running = start(pg_server, tmp_path_factory.mktemp("hodei"), servers=1)
    yield running
    running.stack.stop()
    running.conn.close()


def delegated(user: pwd.struct_passwd) -> Path:
    """A cgroup that belongs to this user, who is let into it by root."""
    home = own_cgroup()
    if home is None or not os.access(home, os.W_OK):
        pytest.skip("no cgroup (version 2) can be made here")
    group = home / f"test-{uuid.uuid4().hex[:8]}"
    group.mkdir()
    for path in (
        group,
        group / "cgroup.procs",
        group / "cgroup.threads",
        group / "cgroup.subtree_control",
    ):
        os.chown(path, user.pw_uid, user.pw_gid)
    return group


HIDE = 'umount -l /sys/fs/cgroup/unified 2>/dev/null || umount -l /sys/fs/cgroup; exec "$@"'
KINDS = ("root", "job-user", "ordinary")


@pytest.fixture(scope="module", params=KINDS)
def worker(host_system: Hodei, request: pytest.FixtureRequest) -> Iterator[Worker]:
    """Of each kind that can be had here; for tests that leave it as they found it."""
    yield from running(host_system, request.param)


@pytest.fixture(
    scope="module", params=(*KINDS, "root-in-bare", "job-user-in-bare", "ordinary-in-delegated")
)
def any_worker(host_system: Hodei, request: pytest.FixtureRequest) -> Iterator[Worker]:
    """The same, with and without cgroups."""
    yield from running(host_system, request.param)


def running(host_system: Hodei, kind: str, name: str = "w", *flags: str) -> Iterator[Worker]:
    folder = Path(tempfile.mkdtemp(prefix="hodei-host-"))
    folder.chmod(0o755)
    one = make(host_system, folder, kind, name, *flags)
    try:
        one.up(host_system.token())
        yield one
    finally:
        one.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def hosts_folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="hodei-host-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)
