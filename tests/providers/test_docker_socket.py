"""A socket that a server may not use: the message names the group that may, before any call."""

import grp
import os
import pwd
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from hodei.domain.provider import Settings
from hodei.providers.contract import Unanswered
from hodei.providers.docker_client import connect
from tests.hosts import ORDINARY, ROOT

NAMELESS = 3_999_999_999
"""A group that no host gives a name."""

pytestmark = pytest.mark.skipif(not ROOT, reason="only root can become another user")


@pytest.fixture
def folder() -> Iterator[Path]:
    """One that every user can enter."""
    made = Path(tempfile.mkdtemp(prefix="hodei-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def said_to(user: str, path: Path) -> str:
    """Why a process of this user cannot use the socket."""
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        words = "nothing"
        try:
            entry = pwd.getpwnam(user)
            os.setgroups([])
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
            connect(Settings(uuid.UUID(int=1), "Docker", "docker", 1, socket_path=str(path)))
        except Unanswered as error:
            words = str(error)
        finally:
            os.write(writer, words.encode())
            os._exit(0)
    os.close(writer)
    os.waitpid(pid, 0)
    with os.fdopen(reader) as words_of_it:
        return words_of_it.read()


@pytest.mark.parametrize("group", [0, NAMELESS])
def test_no_permission_names_the_group(folder: Path, group: int) -> None:
    path = folder / "s"
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(path))
        os.chown(path, 0, group)
        path.chmod(0o660)
        name = str(group) if group == NAMELESS else grp.getgrgid(group).gr_name
        assert said_to(ORDINARY, path) == (
            f"hodei-server may not use {path}: add its user to the group {name} and start it again"
        )


def test_a_folder_that_cannot_be_entered_is_said(folder: Path) -> None:
    inner = folder / "inner"
    inner.mkdir(0o700)
    with socket.socket(socket.AF_UNIX) as engine:
        engine.bind(str(inner / "s"))
        words = f"no engine answers at {inner}/s: Permission denied"
        assert said_to(ORDINARY, inner / "s") == words
