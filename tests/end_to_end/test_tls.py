"""TLS between the real programs: who gets through, what those who do not are told, and what becomes of
certificates that are replaced while jobs run."""

import asyncio
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest

from hodei.client import AsyncHodei, Invalid, Tls, Unavailable
from hodei.client import Hodei as Client
from hodei.client.python_words import for_python
from hodei.local.embedded_postgres import free_port
from tests.eventually import eventually
from tests.running import Hodei, Ran, start
from tests.tls.certificates import Ca


@dataclass
class WithTls:
    """A server in plain text, and one with TLS, which asks for certificates at its second address."""

    hodei: Hodei
    folder: Path  # made by `hodei tls init`
    plain: str
    encrypted: str
    mutual: str
    beyond: str  # not bound to loopback, and asks for a certificate

    def file(self, name: str) -> str:
        return str(self.folder / name)

    @property
    def trust(self) -> tuple[str, str]:
        return "--tls-ca", self.file("ca.pem")

    @property
    def own(self) -> tuple[str, ...]:
        """A certificate to show."""
        cert, key = self.file("client.pem"), self.file("client-key.pem")
        return "--tls-cert", cert, "--tls-key", key

    def run(self, server: str, *arguments: str) -> Ran:
        self.hodei.addresses = [server]
        return self.hodei.run(*arguments)

    def init(self, host: str, *flags: str) -> None:
        self.hodei.ok("tls", "init", str(self.folder), "--host", host, *flags)


@pytest.fixture(scope="module")
def system(
    pg_server: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[WithTls]:
    hodei = start(pg_server, tmp_path_factory.mktemp("tls"), servers=1)
    mutual, beyond = f"127.0.0.1:{free_port()}", free_port()
    made = WithTls(
        hodei, hodei.folder / "tls", hodei.addresses[0], "", mutual, f"127.0.0.1:{beyond}"
    )
    made.init("server.example")
    own = ("--tls-cert", made.file("server.pem"), "--tls-key", made.file("server-key.pem"))
    asking = [
        word
        for listener in (mutual, f"0.0.0.0:{beyond}")
        for word in ("--grpc", f"{listener},client-ca={made.file('ca.pem')}")
    ]
    address = hodei.stack.server("tls", hodei.url, 0, *own, *asking)
    made.encrypted = address.replace("127.0.0.1", "localhost")
    yield made
    hodei.stack.stop()
    hodei.conn.close()


def test_jobs_run_over_tls(system: WithTls) -> None:
    """A worker that shows a certificate, the command line, and both clients for Python."""
    hodei, server = system.hodei, f"https://{system.encrypted}"
    flags = ("--tls-ca", system.file("ca.pem"), *system.own)
    hodei.stack.worker("own", f"https://{system.mutual}", hodei.folder / "o", hodei.token(), *flags)
    ran = system.run(server, *system.trust, "job", "run", "--command", "echo over TLS")
    assert (ran.code, ran.out) == (0, b"over TLS\n"), ran
    assert system.run(f"https://{system.mutual}", "status", *flags).code == 0
    assert system.run(system.encrypted, "status", "--tls", *system.trust).code == 0
    status = system.run(server, "status", *system.trust, "--tls-name", "server.example").text
    assert "no TLS" in status, "the other server has plain text"
    assert f"; {server} answered" in status
    shown = system.run(server, "status", "-o", "json", *system.trust).json["listening"]
    ends = [one["certificate_expires_at"] for one in shown]
    assert [bool(end) for end in ends] == [False, True]
    assert ends[1].startswith(time.strftime("%Y", time.gmtime(time.time() + 365 * 86_400)))

    tls = Tls(ca=system.file("ca.pem"))
    with Client(server, tls=tls) as client:
        job_id = client.submit(command="true")
        assert client.wait(job_id, 60).state == "SUCCEEDED"

    async def state() -> str:
        async with AsyncHodei(server, tls=tls) as client:
            return (await client.get(job_id)).state

    assert asyncio.run(state()) == "SUCCEEDED"


def test_a_worker_takes_tls_from_the_command_line_that_starts_it(system: WithTls) -> None:
    """`hodei worker run` hands its flags on."""
    argv = ["hodei.cli.main", "--server", system.encrypted, "--tls", *system.trust, "worker", "run"]
    state = ("--state-dir", str(system.hodei.folder / "handed"), "--on-worker-exit", "kill")
    environment = {"HODEI_OTP_TOKEN": system.hodei.token()}
    part = system.hodei.stack.start("handed", [*argv, *state], environment)
    system.hodei.stack.await_words(part, f"connected to https://{system.encrypted}")
    system.hodei.stack.stop_part(part)


def test_a_certificate_replaces_no_key(system: WithTls, monkeypatch: pytest.MonkeyPatch) -> None:
    """A caller of an address beyond loopback needs one. Flags come from the environment too."""
    for name, file in (("CA", "ca.pem"), ("CERT", "client.pem"), ("KEY", "client-key.pem")):
        monkeypatch.setenv(f"HODEI_TLS_{name}", system.file(file))
    monkeypatch.setenv("HODEI_TLS", "1")
    assert system.run(system.mutual, "status").code == 0, "on loopback, before there is a key"
    ran = system.run(system.beyond, "status")
    assert ran.code == 125
    assert "API key" in ran.err


def test_an_interrupt_cancels_over_tls(system: WithTls) -> None:
    """The cancel goes out in a thread of its own."""
    hodei, server = system.hodei, f"https://{system.encrypted}"
    label = ("--label", "to=cancel")
    worker = hodei.stack.worker(
        "cancelled", server, hodei.folder / "c", hodei.token(), *system.trust, *label
    )
    flags = (*label, "--cancel-on-interrupt", "--command", "echo begun; sleep 600")
    argv = ["hodei.cli.main", "--server", server, *system.trust, "job", "run", *flags]
    part = hodei.stack.start("followed", argv)
    hodei.stack.await_words(part, "begun")
    part.process.send_signal(signal.SIGINT)
    assert part.process.wait(30) == 130
    assert "requested" in part.log.read_text()
    hodei.stack.stop_part(worker)


def test_a_shell_completes_over_tls(system: WithTls, monkeypatch: pytest.MonkeyPatch) -> None:
    worker = system.hodei.stack.worker(
        "named",
        f"https://{system.encrypted}",
        system.hodei.folder / "named",
        system.hodei.token(),
        *(*system.trust, "--name", "completed-by-name"),
    )
    words = ["hodei", "--server", f"https://{system.encrypted}", *system.trust, "worker", "get", ""]
    monkeypatch.setenv("_HODEI_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "\n".join(words))
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    eventually(lambda: "completed-by-name" in system.run("127.0.0.1:1").text, 30)
    system.hodei.stack.stop_part(worker)


@pytest.mark.parametrize(
    ("place", "flags", "words"),
    [
        ("https://{plain}", ["{ca}"], "it does not speak TLS: use http://{plain} without --tls"),
        ("{encrypted}", [], "it expects TLS: use https://{encrypted}, or --tls"),
        (
            "https://{encrypted}",
            [],
            "its certificate is of an unknown CA: expected one of the CAs of this system;"
            " --tls-ca FILE names others",
        ),
        (
            "https://{encrypted}",
            ["{ca}", "--tls-name", "x"],
            "its certificate is for server.example, localhost, 127.0.0.1, ::1, and not for x:"
            " use such an address, or --tls-name with one of these names",
        ),
        (
            "https://{mutual}",
            ["{ca}"],
            "it asks for a client certificate: use --tls-cert and --tls-key",
        ),
    ],
)
def test_who_cannot_connect_is_told_why(
    system: WithTls, place: str, flags: list[str], words: str
) -> None:
    names = {"plain": system.plain, "encrypted": system.encrypted, "mutual": system.mutual}
    address, words = place.format(**names), words.format(**names)
    given = [text for flag in flags for text in (system.trust if flag == "{ca}" else (flag,))]
    ran = system.run(address, "status", *given)
    assert (ran.code, ran.out) == (125, b"")
    assert ran.err == f"Error: cannot connect to {address}: {words}\n"

    tls = Tls(ca=system.file("ca.pem") if flags else None, name="x" if "x" in flags else None)
    with Client(address, tls=tls, call_timeout=1.0) as client, pytest.raises(Unavailable) as caught:
        client.list()
    told = f"no server answers at {address} within 1 s: {for_python(words)}"
    assert str(caught.value) == told

    async def ask() -> None:
        async with AsyncHodei(address, tls=tls, call_timeout=1.0) as client:
            await client.list()

    with pytest.raises(Unavailable) as caught:
        asyncio.run(ask())
    assert str(caught.value) == told


def test_a_worker_says_why_it_cannot_connect(system: WithTls) -> None:
    why = {
        f"https://{system.plain}": "it does not speak TLS: use http://",
        system.encrypted: "it expects TLS: use https://",
        f"https://{system.mutual}": "it asks for a client certificate: use --tls-cert and",
    }
    state = ("--state-dir", str(system.hodei.folder / "no"))
    argv = ["hodei_worker", "--server", ",".join(why), *state, *system.trust]
    part = system.hodei.stack.start("refused", argv)
    for address, words in why.items():
        system.hodei.stack.await_words(part, f"cannot connect to {address}: {words}")
    system.hodei.stack.stop_part(part)
    log = part.log.read_text()
    assert not any(word in log for word in ("last error", "Socket closed", "SSL", "UNAVAILABLE"))


def test_settings_that_cannot_be_meant_are_refused(system: WithTls) -> None:
    bad = system.folder / "bad.pem"
    bad.write_text("-----BEGIN nothing")
    server = f"https://{system.encrypted}"
    cases = (
        (system.plain, system.trust, "--tls-ca is given, but no address begins with https://"),
        (server, ("--tls-ca", "/no"), "--tls-ca /no: No such file or directory"),
        (server, ("--tls-ca", str(bad)), f"--tls-ca {bad}: expected certificates in PEM"),
        (server, ("--tls-name", ".x\x1b"), "--tls-name: expected the name of a host, got '.x"),
        (server, system.own[:2], "--tls-cert and --tls-key: expected both or none, got one"),
        (
            server,
            ("--tls-cert", system.file("client.pem"), "--tls-key", system.file("server-key.pem")),
            "expected the key of the certificate in",
        ),
        (f"ftp://{system.encrypted}", (), "expected http:// or https:// before HOST:PORT"),
        (f"http://{system.encrypted}", ("--tls",), "http:// means plain text, and --tls means TLS"),
    )
    for address, flags, words in cases:
        ran = system.run(address, "status", *flags)
        assert (ran.code, words in ran.err) == (2, True), ran
    argv = ["hodei_worker", "--server", system.plain, "--state-dir", "/no", *system.trust]
    part = system.hodei.stack.start("bad", argv)
    assert part.process.wait(30) == 2
    assert "--tls-ca is given, but no address begins with https://" in part.log.read_text()
    with pytest.raises(Invalid, match=r"tls\.ca is given, but no address begins with https://"):
        Client(system.plain, tls=Tls(ca=system.file("ca.pem")))


def test_files_are_replaced_while_streams_stand(system: WithTls) -> None:
    """First by one that does not fit: what was served before is served on."""
    hodei, server = system.hodei, f"https://{system.encrypted}"
    worker = hodei.stack.worker(
        "standing", server, hodei.folder / "s", hodei.token(), *system.trust, "--label", "here=yes"
    )
    flag = hodei.folder / "go"
    with Client(server, tls=Tls(ca=system.file("ca.pem"))) as client:
        job_id = client.submit(
            command=f"while [ ! -e {flag} ]; do echo x; sleep 0.05; done; echo end",
            labels={"here": "yes"},
        )
        log = client.logs(job_id, follow=True)
        first = next(log)

        Path(system.file("server.pem")).write_bytes(
            Path(Ca(hodei.folder / "other").make("s", "localhost").cert).read_bytes()
        )

        def refused() -> bool:
            assert system.run(server, "status", *system.trust).code == 0
            return "got another one" in hodei.log("tls")

        eventually(refused, 30)
        system.init("renewed.example", "--days", "3")
        renewed = ("status", *system.trust, "--tls-name", "renewed.example")
        eventually(lambda: "expires in 3 d" in system.run(server, *renewed).text, 30)
        flag.touch()
        rest = b"".join(chunk.data for chunk in log)
        assert (first.data + rest).decode().split()[-1] == "end"
        assert client.wait(job_id).state == "SUCCEEDED"
    assert worker.log.read_text().count("connected to") == 1
    said = hodei.log("tls")
    assert "what was served before is served on" in said
    assert "now a certificate for renewed.example, localhost" in said
    system.init("server.example")


def test_a_server_that_cannot_have_tls_does_not_start(system: WithTls) -> None:
    for flags, words in (
        (("--tls-cert", "/no", "--tls-key", "/no"), "--tls-cert /no: No such file or directory"),
        ((), "--grpc: expected HOST:PORT, got 'nowhere'"),  # the second one in HODEI_GRPC
        (("--grpc", "0.0.0.0:0"), "beyond loopback the connection needs TLS"),
        ((*system.own, "--grpc", "127.0.0.1:0,client-ca=/no"), "client-ca /no: No such file"),
    ):
        argv = ["hodei.cli.server", "--database-url", system.hodei.url, *flags]
        environment = {"HODEI_GRPC": "127.0.0.1:0 nowhere"} if not flags else {}
        part = system.hodei.stack.start("none", argv, environment)
        assert part.process.wait(30) == 2
        assert words in part.log.read_text()
