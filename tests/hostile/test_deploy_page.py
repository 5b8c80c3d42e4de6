"""docs/deploy.md from nothing to a running installation: its blocks are run in their order, with folders, ports
and names of this machine. systemd's part is played by the test, by what stands in the units."""

import configparser
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest

from hodei.local import binaries
from hodei.local.embedded_postgres import EmbeddedPostgres, free_port
from tests.conftest import TREE
from tests.eventually import eventually

SH = re.compile(r"^```sh\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
SQL = re.compile(r"^```sql\n(.*?)^```\n", re.MULTILINE | re.DOTALL)

NOT_RUN = ("cp deploy/systemd", "kubectl")
"""How blocks begin that need systemd or a cluster; the page says of each that it is not tested."""

GIVEN = {
    "OWNER_PASSWORD": "o",
    "SERVER_PASSWORD": "s",
    "PGPASSWORD": "o",
    "CI_TOKEN": "never-shown",
}
"""What a person has in the environment, or types."""


@dataclass
class Machine:
    """Plays the hosts of the page."""

    folder: Path
    postgres: EmbeddedPostgres
    ports: list[int]
    running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def here(self, text: str) -> str:
        """A text of the page or of a unit, with this machine's places."""
        for theirs, ours in (
            ("/opt/hodei", f"{self.folder}/opt"),
            ("/etc/hodei", f"{self.folder}/etc"),
            ("/var/lib/hodei", f"{self.folder}/state"),
            ("db.example:5432", f"127.0.0.1:{self.postgres.port}"),
            ("--host db.example --port 5432", f"--host 127.0.0.1 --port {self.postgres.port}"),
            ("server-1.example:50051", f"localhost:{self.ports[0]}"),
            ("server-2.example:50051", f"localhost:{self.ports[1]}"),
            ("0.0.0.0", "127.0.0.1"),
        ):
            text = text.replace(theirs, ours)
        return text

    def run(self, block: str) -> str:
        """Runs a block in the shell of the blocks before it: what they exported is there."""
        exported = self.folder / "exported"
        script = f"set -euo pipefail; . {exported}\n{self.here(block)}\nexport -p >{exported}"
        ran = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder / "checkout",
            env=environment() | GIVEN,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert ran.returncode == 0, block + ran.stdout + ran.stderr
        return ran.stdout

    def sql(self, statements: str, user: str) -> None:
        url = self.postgres.dsn("hodei")
        if user != "admin":
            url = psycopg.conninfo.make_conninfo(url, user=user, password="o")
        with psycopg.connect(url, autocommit=True) as conn:
            conn.execute(statements.encode())

    def start(self, name: str, replaced: dict[str, str]) -> None:
        """Starts what a unit starts, with its settings and credentials."""
        names = {"hodei-server": ["hodei-server.service", "tls.conf", "secrets.conf"]}
        settings: dict[str, str] = {}
        for part in names.get(name, [f"{name}.service"]):
            settings |= of_unit(self.here((TREE / "deploy/systemd" / part).read_text()))
        log = (self.folder / f"{name}-{len(self.running)}.log").open("wb")
        program = f"{self.folder}/opt/bin/{name}"
        self.running.append(
            subprocess.Popen(
                [program], env=environment() | settings | replaced, stdout=log, stderr=log
            )
        )


def of_unit(text: str) -> dict[str, str]:
    """The environment that systemd gives: files of variables, and the unit's own, in which a credential
    is the file that it is loaded from."""
    found: dict[str, str] = {}
    credentials = dict(re.findall(r"^LoadCredential=(\S+?):(\S+)$", text, re.MULTILINE))
    for path in re.findall(r"^EnvironmentFile=-?(\S+)$", text, re.MULTILINE):
        parsed = configparser.ConfigParser(interpolation=None)
        parsed.optionxform = str  # type: ignore[assignment,method-assign]
        parsed.read_string("[variables]\n" + Path(path).read_text())
        found |= parsed["variables"]
    for line in re.findall(r"^Environment=(.+)$", text, re.MULTILINE):
        for name, value in (word.split("=", 1) for word in line.split()):
            credential = value.removeprefix("%d/")
            found[name] = credentials[credential] if value.startswith("%d/") else value
    return found


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HODEI_", "PG", "PYTHON"))}
    return kept | {"PATH": f"{binaries.find()}:{os.environ['PATH']}"}


@pytest.fixture
def machine(open_folder: Path) -> Iterator[Machine]:
    checkout = open_folder / "checkout"
    checkout.mkdir()
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=TREE, capture_output=True, check=True)
    for name in listed.stdout.decode().split("\0")[:-1]:
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(TREE / name, checkout / name)
    (open_folder / "exported").touch()
    with EmbeddedPostgres(open_folder / "pg") as postgres:
        with psycopg.connect(postgres.dsn(), autocommit=True) as conn:
            conn.execute("CREATE DATABASE hodei")
        machine = Machine(open_folder, postgres, [free_port(), free_port()])
        try:
            yield machine
        finally:
            for process in reversed(machine.running):
                process.terminate()
                process.wait(60)


def test_the_page_leads_to_an_installation_that_runs_jobs(machine: Machine) -> None:
    page = (TREE / "docs/deploy.md").read_text()
    roles, grants, *_ = SQL.findall((TREE / "docs/database.md").read_text())
    blocks = SH.findall(page)
    assert sum(block.startswith(NOT_RUN) for block in blocks) == 4
    said: dict[str, str] = {}
    for block in blocks:
        if block.startswith("install -d"):
            passwords = "ALTER ROLE hodei_owner PASSWORD 'o'; ALTER ROLE hodei_server PASSWORD 's'"
            machine.sql(f"{roles};{passwords}", "admin")
        if block.startswith("hodei db check"):
            machine.sql(grants, "hodei_owner")
        if "hodei-server.service" in block:
            for port in machine.ports:
                machine.start("hodei-server", {"HODEI_GRPC": f"127.0.0.1:{port}"})
        elif "hodei-worker.service" in block:
            user = "nobody" if os.geteuid() == 0 else ""
            machine.start("hodei-worker", {"HODEI_JOB_USER": user})
            eventually(lambda: "READY" in machine.run("hodei worker list"), 60)
        elif not block.startswith(NOT_RUN):
            said[block.splitlines()[0].split(" --")[0]] = machine.run(block)

    assert "has the rights that a server needs" in said["hodei db check"]
    assert "hello from" in said["hodei worker list"]
    assert "the token is ***" in said['printf %s "$CI_TOKEN" | hodei secret set ci-token']
    assert '"servers": 2' in said["HODEI_API_KEY_FILE=/etc/hodei/monitoring-key hodei status"]
    assert "Consumed" in said["hodei db restored"]
    assert "no credential any more" in said["hodei apikey revoke nightly-import"]
    files = [path for path in (machine.folder / "etc").iterdir() if path.is_file()]
    readable = {path.name for path in files if path.stat().st_mode & 0o077}
    assert readable == {"server.env", "worker.env"}, "the others are secrets"
