"""TLS, keys and renewed credentials at once, beside a server of the release before that has none of
them: forward and back, and no job is lost."""

import pytest

from tests.eventually import eventually
from tests.upgrade.releases import BEFORE, REVISION_5, Both
from tests.upgrade.test_credentials import make_due, renewals
from tests.upgrade.test_keys import create_key, submit
from tests.upgrade.test_upgrade import judged


class Encrypted:
    """This release's server with TLS, and what others need to reach it."""

    def __init__(self, releases: Both) -> None:
        self._releases = releases
        self._folder = releases.new.folder / "tls"
        releases.new.run("tls", "init", str(self._folder), "--host", "localhost")
        self.address = f"https://localhost:{releases.ports[1]}"
        self.trust = ("--tls-ca", str(self._folder / "ca.pem"))

    def server(self, name: str) -> None:
        files = ("server.pem", "server-key.pem")
        cert, key = (str(self._folder / file) for file in files)
        new, port = self._releases.new, self._releases.ports[1]
        new.stack.server(name, new.url, port, "--tls-cert", cert, "--tls-key", key)

    def worker(self, name: str, key: str = "") -> None:
        """On the state folder of its name, with both servers: this one encrypted."""
        new, addresses = self._releases.new, f"{self.address},{self._releases.addresses[0]}"
        flags = (*self.trust, "--label", f"at={name}", "--name", name, "--drain-timeout", "0.1")
        environment = {"HODEI_API_KEY": key} if key else {}
        new.stack.worker(
            f"{name}-{len(new.stack.parts)}",
            self.address if key else addresses,
            new.folder / name,
            None,
            *flags,
            environment=environment,
        )


@pytest.mark.slow
@pytest.mark.parametrize("releases", [BEFORE, REVISION_5], indirect=True)
def test_everything_at_once(releases: Both, monkeypatch: pytest.MonkeyPatch) -> None:
    old, new, at_old = releases.old, releases.new, releases.addresses[0]
    old_server = old.server("server", releases.ports[0])
    worker = old.worker("a", releases.addresses[:1], "a")
    long = releases.enqueue("a", long=True)
    releases.until(long, "RUNNING")

    encrypted = Encrypted(releases)
    encrypted.server("tls")  # beside
    key, registrar = create_key(releases, "admin"), create_key(releases, "registrar")
    old.end(worker)
    encrypted.worker("a")  # upgraded in the middle of its job, with the same identity
    old.end(old_server)
    releases.until(releases.enqueue("a"), "SUCCEEDED")  # by TLS
    make_due(releases)
    eventually(lambda: renewals(releases) == 1)
    encrypted.worker("b", registrar)
    monkeypatch.setenv("HODEI_API_KEY", key)
    ran = new.run(*submit(releases), *encrypted.trust, server=encrypted.address)
    releases.until(ran.text.strip(), "SUCCEEDED")
    monkeypatch.delenv("HODEI_API_KEY")
    refused = new.run("worker", "list", *encrypted.trust, server=encrypted.address, code=125)
    assert "API key" in refused.err

    old_server = old.server("server-again", releases.ports[0])  # back: plain text, no key
    (tls,) = (part for part in new.stack.parts if part.name == "tls")
    new.end(tls)
    releases.until(old.run(*submit(releases), server=at_old).text.strip(), "SUCCEEDED")

    encrypted.server("tls-again")  # forward for good
    old.end(old_server)
    for label in "ab":
        releases.until(releases.enqueue(label), "SUCCEEDED")
    releases.let_go()
    releases.until(long, "SUCCEEDED")
    judged(releases)
