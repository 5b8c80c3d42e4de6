"""An API key is sent without encryption to this host alone, unless HODEI_API_KEY_PLAINTEXT=1 says that
the network is trusted: of the command line, a login, the client for Python and a worker's registrar
key."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from hodei.client import AsyncHodei, Invalid
from hodei.client import Hodei as Client
from tests.end_to_end.lone_worker import run_worker
from tests.forked import forker
from tests.running import Hodei, Ran, start

VARIABLE = "HODEI_API_KEY_PLAINTEXT"

REFUSED = (
    "the API key is not sent to {0} without encryption: use TLS (https://{0}), or set"
    " HODEI_API_KEY_PLAINTEXT=1 where you trust the network"
)

NO_CONSENT = ("", "0", "yes", "true", " 1", "1\n")


@pytest.fixture(scope="module")
def system(pg_server: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hodei]:
    running = start(pg_server, tmp_path_factory.mktemp("plain"), servers=1)
    yield running
    running.stack.stop()
    running.conn.close()


@pytest.fixture
def far(system: Hodei, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """An address of the server that leads to this host and does not say so, as that of a host in the
    network."""
    for name in [name for name in os.environ if name.startswith("HODEI_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return f"0.0.0.0:{system.addresses[0].rpartition(':')[2]}"


def make_key(hodei: Hodei, role: str) -> str:
    there = ("--database-url", hodei.url)
    return hodei.ok("apikey", "create", "--role", role, "--name", role, *there).text.strip()


def was_used(hodei: Hodei, role: str) -> bool:
    ((used,),) = hodei.sql("SELECT used_at IS NOT NULL FROM api_keys WHERE name = %s", role)
    return bool(used)


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    def run(*words: str, stdin: str = "", **environment: str) -> Ran:
        with monkeypatch.context() as here:
            for name, value in environment.items():
                here.setenv(name, value)
            done = forker().run(words, stdin.encode(), 60)
        return Ran(done.returncode, done.stdout, done.stderr.decode())

    return run


def test_the_command_line_and_a_login(system: Hodei, far: str, run: Run) -> None:
    key = make_key(system, "admin")
    refused = f"Error: {REFUSED.format(far)}\n"
    for consent in NO_CONSENT:
        ran = run("job", "list", "--server", far, HODEI_API_KEY=key, **{VARIABLE: consent})
        assert (ran.code, ran.text, ran.err) == (125, "", refused), consent
    logged = run("login", "--server", far, stdin=key)
    assert (logged.code, logged.err) == (125, refused)
    assert not was_used(system, "admin"), "it has reached no server"
    done = run("login", "--server", far, stdin=key, **{VARIABLE: "1"})
    assert (done.code, "as api:admin, role admin" in done.text) == (0, True), done
    assert run("status", **{VARIABLE: "1"}).code == 0, "with the context's key"
    again = run("status")
    assert (again.code, again.err) == (125, refused), "consent is not kept in the context"
    assert run("context", "remove", "default").code == 0
    keyless = run("status", "--server", far)
    assert "needs an API key" in keyless.err, "who has none is not asked for consent"


def test_the_client_for_python(system: Hodei, far: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One such address among several is enough to refuse."""
    key = make_key(system, "viewer")

    async def listed() -> object:
        async with AsyncHodei(far, api_key=key) as client:
            return await client.list()

    for consent in NO_CONSENT:
        monkeypatch.setenv(VARIABLE, consent)
        with pytest.raises(Invalid) as caught:
            Client([system.addresses[0], far], api_key=key)
        assert str(caught.value) == REFUSED.format(far)
        with pytest.raises(Invalid):
            asyncio.run(listed())
    assert not was_used(system, "viewer")
    monkeypatch.setenv(VARIABLE, "1")
    with Client([far], api_key=key) as client:
        assert client.list() == asyncio.run(listed()) == []


def test_a_workers_registrar_key(system: Hodei, far: str) -> None:
    path = system.folder / "key"
    path.write_text(make_key(system, "registrar"))
    path.chmod(0o600)
    at_far = ("--server", far, "--api-key-file", str(path))
    ran = run_worker(system, system.folder / "refused", *at_far)
    assert ran.returncode != 0
    assert REFUSED.format(far) in ran.stderr + ran.stdout
    assert "Traceback" not in ran.stderr
    assert system.sql("SELECT count(*) FROM workers") == [(0,)]
    assert not was_used(system, "registrar")
    environment = {VARIABLE: "1", "HODEI_API_KEY_FILE": str(path)}
    system.stack.worker("worker", far, system.folder / "w", None, environment=environment)
    assert system.sql("SELECT count(*) FROM workers") == [(1,)]
