"""Two releases beside each other on one database: this tree's programs, and those of the release
before, taken from git."""

import shutil
import subprocess
import sys
import tarfile
import uuid
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import pytest
from psycopg.types.json import Jsonb

from hodei.local.embedded_postgres import free_port
from hodei.local.stack import Part, Stack, mint_token
from tests.conftest import TREE, Connection
from tests.eventually import eventually
from tests.forked import forker
from tests.running import Ran

BEFORE = "0ee0b82fc33767899e747a1914a7ebdd72db6094"
"""The release before this one (schema revision 3), as a commit of this repository."""

REVISION_5 = "f865e7061822b098658aba4cfe88dc78832782fb"
"""The last commit of schema revision 5: a nearer neighbour."""

JOB = """
T={trace}/$HODEI_JOB_ID.$HODEI_LEASE
echo start >>$T
n=0
until [ -e {go} ] && [ $n -ge {least} ]; do
    n=$((n + 1))
    echo "line $n" >>$T
    echo "line $n"
    sleep 0.05
done
exit {code}
"""


def unpacked(folder: Path, commit: str = BEFORE) -> Path:
    """The release before, in `folder`; the test is skipped where there is no git history to take it
    from."""
    archive = folder / "before.tar"
    if not shutil.which("git"):
        pytest.skip("no git here: the release before cannot be taken from it")
    made = subprocess.run(
        ["git", "-C", TREE, "archive", "-o", archive, commit],
        capture_output=True,
        text=True,
        check=False,
    )
    if made.returncode:
        pytest.skip(f"commit {commit[:7]} is not in a git history here: {made.stderr.strip()}")
    tree = folder / "before"
    with tarfile.open(archive) as packed:
        packed.extractall(tree, filter="data")
    return tree


@dataclass
class Release:
    """The programs of one release. Their part `name` may be started again under that name."""

    stack: Stack
    url: str
    folder: Path

    def server(self, name: str, port: int) -> Part:
        self.stack.server(name, self.url, port)
        return self.stack.parts[-1]

    def worker(self, name: str, addresses: list[str], label: str) -> Part:
        """On the state folder of its name; so another release's worker is upgraded by it."""
        token = None if (self.folder / name).exists() else mint_token(self.url)
        return self.stack.worker(
            f"{name}-{uuid.uuid4().hex[:4]}",
            ",".join(addresses),
            self.folder / name,
            token,
            "--on-worker-exit",
            "keep",
            "--label",
            f"at={label}",
            "--name",
            name,
            "--drain-timeout",
            "0.1",
        )

    def end(self, part: Part) -> None:
        self.stack.stop_part(part)
        self.stack.parts.remove(part)

    def run(self, *arguments: str, server: str = "", code: int = 0) -> Ran:
        words = [*(["--server", server] if server else []), *arguments]
        done = self._run(words) if self.stack.tree else forker().run(words, b"", 60)
        assert done.returncode == code, done
        return Ran(done.returncode, done.stdout, done.stderr.decode())

    def _run(self, words: list[str]) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            [sys.executable, "-m", "hodei.cli.main", *words],
            capture_output=True,
            timeout=60,
            check=False,
            cwd=self.stack.tree,
        )

    def db(self, *arguments: str, code: int = 0) -> str:
        return self.run("db", *arguments, "--database-url", self.url, code=code).text


@dataclass
class Both:
    """The release before and this one, their database, and what the jobs themselves wrote."""

    old: Release
    new: Release
    conn: Connection = field(repr=False)
    trace: Path
    go: Path
    ports: tuple[int, int] = field(default_factory=lambda: (free_port(), free_port()))

    @property
    def addresses(self) -> list[str]:
        """Of the old and of the new server, whether they run or not."""
        return [f"127.0.0.1:{port}" for port in self.ports]

    def enqueue(
        self, at: str, *, long: bool = False, exit_code: int = 0, least: int = 3, **spec: object
    ) -> str:
        """A job that leaves a trace, for workers with the label `at`; a long one waits for
        `let_go`."""
        go = self.go if long else self.trace
        script = JOB.format(trace=self.trace, go=go, least=least, code=exit_code)
        return self.enqueue_spec({"script": script, "labels": {"at": at}, **spec})

    def enqueue_spec(self, spec: object) -> str:
        row = self.conn.execute("SELECT hodei_enqueue(%s)::text", [Jsonb(spec)]).fetchone()
        assert row
        return str(row[0])

    def enqueue_text(self, spec: str) -> str:
        """Numbers as they are written: Python knows no 1e-400."""
        row = self.conn.execute("SELECT hodei_enqueue(%s::jsonb)::text", [spec]).fetchone()
        assert row
        return str(row[0])

    def state(self, job_id: str) -> str:
        row = self.conn.execute("SELECT state FROM jobs WHERE id = %s", [job_id]).fetchone()
        return str(row[0]) if row else "gone"

    def until(self, job_id: str, state: str, most_s: float = 40.0) -> None:
        eventually(lambda: self.state(job_id) == state, most_s)

    def revision(self) -> int:
        row = self.conn.execute("SELECT revision FROM hodei_schema WHERE version = 1").fetchone()
        assert row
        return int(row[0])

    def let_go(self) -> None:
        self.go.touch()


def both(url: str, folder: Path, commit: str = BEFORE) -> Both:
    """The database as the release before has made it, and nothing running yet."""
    old_tree = unpacked(folder, commit)
    old = Release(Stack(folder / "logs-old", old_tree), url, folder)
    new = Release(Stack(folder / "logs-new"), url, folder)
    old.db("apply")
    trace = folder / "trace"
    trace.mkdir()
    return Both(
        old,
        new,
        psycopg.connect(url, autocommit=True, options="-c timezone=UTC"),
        trace,
        folder / "go",
    )
