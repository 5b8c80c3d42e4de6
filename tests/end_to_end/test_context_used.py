"""What a context of `hodei login` is used for besides commands: what a shell offers for a word, and
the worker that `hodei worker run` starts."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from hodei.local.embedded_postgres import free_port
from hodei.local.stack import Part
from tests.end_to_end.test_completion import SCRIPTS
from tests.eventually import eventually
from tests.forked import forker
from tests.running import Hodei, start


@pytest.fixture(scope="module")
def system(pg_server: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hodei]:
    """A server with TLS, which a caller needs a key for, and one in plain text; a context has the
    first one's address, CA and key. The second address asks for a certificate, and is not named in
    that of its server."""
    folder = tmp_path_factory.mktemp("context")
    hodei = start(pg_server, folder, servers=1)
    hodei.ok("tls", "init", str(folder / "tls"), "--host", "server.example")
    own = ("--tls-cert", f"{folder}/tls/server.pem", "--tls-key", f"{folder}/tls/server-key.pem")
    asking = f"127.0.0.2:{free_port()},client-ca={folder}/tls/ca.pem"
    at = hodei.stack.server("tls", hodei.url, 0, *own, "--grpc", asking)
    hodei.addresses.append(asking.partition(",")[0])
    secure = f"https://{at.replace('127.0.0.1', 'localhost')}"
    there = ("--database-url", hodei.url)
    key = hodei.ok("apikey", "create", "--role", "admin", "--name", "ana", *there).out
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("HODEI_")]:
            patch.delenv(name)
        patch.setenv("XDG_CONFIG_HOME", str(folder / "config"))
        patch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
        login = ["login", "--server", secure, "--tls-ca", str(folder / "tls/ca.pem")]
        assert forker().run(login, key, 60).returncode == 0
        yield hodei
    hodei.stack.stop()
    hodei.conn.close()


def offered(words: str, last: str) -> list[str]:
    """What bash offers for the last word."""
    ran = subprocess.run(
        ["bash", "-c", SCRIPTS["bash"].format(words=words, last=last, count=len(words.split()))],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ran.stderr == ""
    return [line for line in ran.stdout.splitlines() if line]


def test_a_login_keeps_all_that_tls_needs(
    system: Hodei, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also from another folder, and what is said in a call goes before it."""
    made = forker().run(["apikey", "create", "--role", "viewer", "--name", "v"], b"", 60)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.chdir(system.folder / "tls")
    own = ("--tls-cert", "client.pem", "--tls-key", "client-key.pem")
    flags = ("--tls", "--tls-ca", "ca.pem", "--tls-name", "server.example", *own)
    logged = forker().run(["login", "--server", system.addresses[1], *flags], made.stdout, 60)
    assert logged.stdout.decode().startswith(f"https://{system.addresses[1]} knows this key"), (
        logged
    )
    monkeypatch.chdir(tmp_path)
    assert forker().run(["status"], b"", 60).returncode == 0
    (shown,) = json.loads(forker().run(["context", "list", "-o", "json"], b"", 60).stdout)
    kept = [shown[key] for key in ("tls_ca", "tls_name", "tls_cert", "tls_key")]
    files = [f"{system.folder}/tls/{name}.pem" for name in ("ca", "client", "client-key")]
    assert kept == [files[0], "server.example", *files[1:]]
    other = forker().run(["status", "--tls-name", "other.example"], b"", 60)
    assert b"and not for other.example" in other.stderr
    half = forker().run(["status", "--tls-cert", f"{system.folder}/tls/client.pem"], b"", 60)
    assert b"expected both or none, got one" in half.stderr


def test_a_shell_offers_the_jobs_of_the_contexts_servers(system: Hodei) -> None:
    ((job_id,),) = system.sql("""SELECT hodei_enqueue('{"command": "true"}')::text""")
    assert offered("hodei job get", job_id[:-2]) == [job_id]
    assert offered(f"hodei --server {system.addresses[0]} job get", job_id[:-2]) == [], (
        "the context's key is for its own servers"
    )


Run = Callable[..., Part]


@pytest.fixture
def run(system: Hodei) -> Run:
    """`hodei worker run` with a token and these arguments."""

    def run(name: str, *arguments: str) -> Part:
        state = ("--state-dir", str(system.folder / name), "--on-worker-exit", "kill")
        argv = ["hodei.cli.main", "worker", "run", *state, "--name", name, *arguments]
        kept = {name: os.environ[name] for name in ("XDG_CONFIG_HOME",)}
        return system.stack.start(name, argv, kept | {"HODEI_OTP_TOKEN": system.token()})

    return run


def environment(part: Part) -> str:
    return Path(f"/proc/{part.process.pid}/environ").read_text()


def test_a_worker_is_given_the_contexts_servers_and_ca(system: Hodei, run: Run) -> None:
    part = run("by-context")
    eventually(lambda: "connected to https://" in part.log.read_text(), 30)
    assert f"HODEI_TLS_CA={system.folder}/tls/ca.pem" in environment(part)
    assert "HODEI_API_KEY" not in environment(part)


def test_a_worker_of_other_servers_is_not_given_the_contexts_ca(system: Hodei, run: Run) -> None:
    """They may have a certificate of another CA, or none."""
    plain, _ = system.addresses
    for name, words in {"two": ("--server", plain), "one": (f"--server={plain}",)}.items():
        part = run(name, *words)
        eventually(lambda log=part.log: f"connected to {plain}" in log.read_text(), 30)  # type: ignore[misc]
        assert "HODEI_TLS_CA" not in environment(part)
