"""A real PgBouncer in transaction mode, in front of a PostgreSQL of the tests.

Before its version 1.21 it cannot carry prepared statements: servers behind it are started with
HODEI_PREPARE=false."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

import psycopg
import pytest

from hodei.local import child
from hodei.local.embedded_postgres import free_port

CONFIG = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
auth_type = plain
auth_file = {folder}/users.txt
pool_mode = transaction
default_pool_size = 8
server_connect_timeout = 5
server_login_retry = 1
ignore_startup_parameters = options,extra_float_digits
logfile = {folder}/pgbouncer.log
pidfile = {folder}/pgbouncer.pid
unix_socket_dir =
"""


def program() -> str | None:
    return shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


class PgBouncer:
    def __init__(self, url: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="hodei-pgbouncer-"))
        self._behind = urlsplit(url)
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        return self._behind.geturl().replace(
            f"{self._behind.hostname}:{self._behind.port}", self.address
        )

    def __enter__(self) -> "PgBouncer":
        found = program()
        if found is None:
            pytest.skip("no pgbouncer on this machine (on Debian: apt install pgbouncer)")
        behind = self._behind
        words = {
            "host": behind.hostname,
            "port": behind.port,
            "listen": self.port,
            "folder": self._folder,
        }
        (self._folder / "pgbouncer.ini").write_text(CONFIG.format(**words))
        (self._folder / "users.txt").write_text(
            f'"{behind.username}" "{unquote(behind.password or "")}"\n'
        )
        command = [found, str(self._folder / "pgbouncer.ini")]
        if os.geteuid() == 0:  # it refuses to run as root
            user = pwd.getpwnam("nobody")
            for path in (self._folder, *self._folder.iterdir()):
                os.chown(path, user.pw_uid, user.pw_gid)
            command = [
                "setpriv",
                f"--reuid={user.pw_uid}",
                f"--regid={user.pw_gid}",
                "--clear-groups",
                "--pdeathsig=KILL",
                *command,
            ]
        else:
            command = child.wrapped(command)
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._await_ready()
        return self

    def __exit__(self, *exc: object) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + 10
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=2).close()
                return
            except psycopg.OperationalError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
