"""Each example of each command's help runs as it stands there, on a real system."""

import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from hodei.cli import suggestions
from hodei.cli.help import context_of
from hodei.cli.main import cli
from tests.eventually import eventually
from tests.running import Hodei

RUN_UNTIL_ENDED = ("hodei dev", "hodei-server", "hodei-worker", "hodei worker run")
"""Programs that other tests run: tests/local/test_dev.py and all of tests/end_to_end."""

JOB, WORKER, TOKEN = "584a465b-d208-4a05-beef-8671b9bc2805", "6a0b7e21", "18e05ed7b00a"
"""The ids of the examples, for each of which a real one is put."""


def examples() -> list[str]:
    """The lines below "Example:" of every command, in the order of the help."""
    root = click.Context(cli, info_name="hodei")
    found = []
    for path in [(), *suggestions.command_paths(root)]:
        epilog = context_of(root, path).command.epilog or ""
        paragraph = epilog.partition("Example:\n")[2].partition("\n\n")[0]
        lines = [line.strip() for line in paragraph.splitlines()]
        assert lines, path
        found += lines
    return list(dict.fromkeys(found))


def give_key(hodei: Hodei, key: Path) -> None:
    """Starts the servers again, with a key of secrets."""
    key.write_text("0f" * 32)
    for number, address in enumerate(hodei.addresses):
        (part,) = [one for one in hodei.stack.parts if one.name == f"server-{number}"]
        hodei.stack.stop_part(part)
        hodei.stack.parts.remove(part)
        port = int(address.rpartition(":")[2])
        hodei.stack.server(part.name, hodei.url, port, "--secret-key-file", str(key))


def prepared(hodei: Hodei, folder: Path) -> dict[str, str]:
    """What the examples need, in a home of their own. Returns what is put for what."""
    give_key(hodei, folder / "secret-key")
    (folder / "ci-token").write_text("a-token-of-ci")
    (folder / ".config/fish/completions").mkdir(parents=True)
    (folder / "backup.sh").write_text("#!/bin/sh\necho $DAY\n")
    (folder / "specs.yaml").write_text("command: echo 1\n---\ncommand: echo 2\n")
    (folder / "few").mkdir()
    (folder / "url").write_text(hodei.url)
    for name in ("build-3", "build-4"):
        labels = ("--label", "gpu=a100") if name == "build-3" else ("--label", "zone=a")
        state = folder / name
        hodei.stack.worker(
            name, ",".join(hodei.addresses), state, hodei.token(), "--name", name, *labels
        )
    ready = "SELECT right(id::text, 8) FROM workers WHERE state = 'READY' ORDER BY name"
    eventually(lambda: len(hodei.sql(ready)) == 2, 30)
    worker = hodei.sql(ready)[0][0]
    role = "shop_app"  # of the whole cluster: another test may have made it
    if not hodei.sql("SELECT FROM pg_roles WHERE rolname = %s", role):
        hodei.sql(f"CREATE ROLE {role}")
    hodei.token()
    token = hodei.ok("token", "list", "--format", "json").json[0]["token_id"]
    return {
        WORKER: worker,
        TOKEN: token,
        "/etc/hodei/database-url": str(folder / "url"),
        "/run/secrets/ci-token": str(folder / "ci-token"),
        "/etc/hodei/tls": str(folder / "tls"),
        "https://server-1:50051 --tls-ca ca.pem": hodei.addresses[0],
        "https://staging:50051": hodei.addresses[1],
        "provider add": "provider add --socket-path /nowhere/docker.sock",
        "/tmp/etc.tgz /etc": f"{folder}/few.tgz {folder}/few",
    }


@pytest.mark.long
def test_each_example_of_the_help_runs(
    fresh: Hodei, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_admin = ("--role", "admin", "--name", "root", "--database-url", fresh.url)
    (tmp_path / "key").write_text(fresh.ok("apikey", "create", *of_admin).text)
    monkeypatch.setenv("HODEI_API_KEY_FILE", str(tmp_path / "key"))
    put = prepared(fresh, tmp_path)
    ended = fresh.submit("--command", "true")
    fresh.finish(ended)
    environment = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "TOKEN": "a-token-of-ci",
        "HODEI_SERVER_ADDRESS": ",".join(fresh.addresses),
        "HODEI_DATABASE_URL_FILE": str(tmp_path / "url"),
        "HODEI_API_KEY_FILE": str(tmp_path / "key"),
    }
    lines = [one for one in examples() if not any(word in one for word in RUN_UNTIL_ENDED)]
    assert len(lines) > 70
    for line in lines:
        job_id = ended
        if "cancel" in line or "--last" in line:
            job_id = fresh.submit("--command", "true", "--label", "never=there")
        if "--secret " in line:  # the examples before have drained one worker and revoked the other
            fresh.ok("worker", "drain", "--undo", "build-4")
        text = line.replace(JOB, job_id)
        for example, real in put.items():
            text = text.replace(example, real)
        ran = subprocess.run(
            ["bash", "-euc", text],
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert ran.returncode == 0, (text, ran.stdout, ran.stderr)
