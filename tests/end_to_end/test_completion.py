"""Completion in real shells: commands, flags, and what a running server knows."""

import os
import pty
import shutil
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from tests.running import Hodei

SCRIPTS = {
    "bash": """
        source <(hodei completion bash)
        COMP_WORDS=({words} '{last}'); COMP_CWORD={count}
        _hodei_completion hodei
        printf '%s\\n' "${{COMPREPLY[@]}}"
    """,
    "zsh": """
        autoload -U compinit; compinit -D -u
        source <(hodei completion zsh)
        [[ $_comps[hodei] == _hodei_completion ]] || exit 9
        compadd() {{ print -l -- ${{(P)@[-1]}} }}
        _describe() {{ print -l -- $completions_with_descriptions }}
        words=({words} '{last}'); CURRENT=$(({count} + 1))
        _hodei_completion
    """,
    "fish": """
        hodei completion fish | source
        complete --do-complete '{words} {last}'
    """,
}
"""Print what a shell offers for the last word, by the function that it calls itself."""


def needs(shell: str) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")


def environment(servers: str) -> dict[str, str]:
    """The programs of this environment on PATH, and where they ask."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return os.environ | {"PATH": path, "HODEI_SERVER_ADDRESS": servers}


def offered(shell: str, servers: str, words: str, last: str) -> list[str]:
    script = SCRIPTS[shell].format(words=words, last=last, count=len(words.split()))
    ran = subprocess.run(
        [shell, "-c", script],
        capture_output=True,
        text=True,
        env=environment(servers),
        timeout=60,
        check=True,
    )
    assert ran.stderr == ""
    lines = filter(None, ran.stdout.splitlines())
    return [line.replace("\t", ":").partition(":")[0] for line in lines]


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_shell_completes_commands_flags_and_ids(hodei: Hodei, shell: str) -> None:
    needs(shell)
    servers = ",".join(hodei.addresses)
    name = f"a name: {uuid.uuid4().hex}"
    job_id = hodei.submit("--name", name, "--command", "true")
    assert offered(shell, servers, "hodei", "stat") == ["status"]
    assert {"job", "worker", "completion"} <= set(offered(shell, servers, "hodei", ""))
    assert offered(shell, servers, "hodei job list", "--lim") == ["--limit"]
    assert offered(shell, servers, "hodei job get", job_id[-8:-2]) == [job_id[-8:]]
    assert offered(shell, servers, "hodei job get", job_id[:-2]) == [job_id]
    assert offered(shell, servers, "hodei job list --state", "RU") == ["RUNNING"]
    if shell != "fish":  # it splits what is offered at commas
        states = offered(shell, servers, "hodei job list --state", "PENDING,RU")
        assert states == ["PENDING,RUNNING"]
    assert offered(shell, servers, "hodei help job", "time") == ["timeline"]
    (worker,) = hodei.ok("worker", "list", "--format", "json").json
    assert offered(shell, servers, "hodei worker get", worker["name"][:-1]) == [worker["name"]]


@pytest.mark.parametrize("servers", ["127.0.0.1:9", "²:²", "192.0.2.1:50051"])
def test_without_a_server_nothing_is_offered_nor_said(servers: str) -> None:
    begun = time.monotonic()
    assert offered("bash", servers, "hodei job get", "") == []
    assert time.monotonic() - begun < 10, "half a second, and the start of a program on a busy host"


def test_the_tab_key_completes_in_an_interactive_bash() -> None:
    ours, theirs = pty.openpty()
    bash = ["bash", "--norc", "--noprofile", "-i"]
    with subprocess.Popen(
        bash,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment(""),
        start_new_session=True,
    ) as process:
        os.close(theirs)
        os.write(ours, b'source <(hodei completion bash); echo "ready"x\n')
        read_until(ours, b"readyx")
        os.write(ours, b"echo hodei; hodei job time\t")
        read_until(ours, b"hodei job timeline ")
        process.kill()
    os.close(ours)


def read_until(terminal: int, words: bytes) -> None:
    said = b""
    while words not in said:
        said += os.read(terminal, 65536)
