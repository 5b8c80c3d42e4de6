"""Roles with the GRANTs of docs/database.md, and the program run against a database."""

import re
import subprocess
import sys
import uuid
from collections.abc import Iterator

import psycopg
import pytest

from tests.conftest import TREE, Connection
from tests.running import Ran

PART = re.compile(r"^### (.*?)$.*?```sql\n(.*?)```", re.MULTILINE | re.DOTALL)


def hodei(url: str, *arguments: str) -> Ran:
    done = subprocess.run(
        [sys.executable, "-m", "hodei.cli.main", *arguments],
        env={"DATABASE_URL": url, "PATH": "/usr/bin:/bin"},
        cwd=TREE,
        capture_output=True,
        timeout=60,
        check=False,
    )
    return Ran(done.returncode, done.stdout, done.stderr.decode())


def login(url: str, role: str) -> str:
    return f"postgresql://{role}:x@{url.split('@', maxsplit=1)[1]}"


class Roles:
    """Those of docs/database.md, under names of this test's own, on a database with the schema
    applied by their owner."""

    def __init__(self, admin_url: str) -> None:
        self.admin_url = admin_url
        self._suffix = uuid.uuid4().hex[:8]
        parts = PART.findall((TREE / "docs/database.md").read_text())
        self.admin = psycopg.connect(admin_url, autocommit=True)
        self._run(self.admin, parts[0][1])
        for role in ("owner", "server", "enqueuer"):
            self.admin.execute(f"ALTER ROLE {self.name(role)} PASSWORD 'x'".encode())
        applied = hodei(self.url("owner"), "db", "apply")
        assert applied.text == "Applied schema version 1.6.\n", applied
        self.owner = psycopg.connect(self.url("owner"), autocommit=True)
        for _, grants in parts[1:]:
            self._run(self.owner, grants)

    def name(self, role: str) -> str:
        return f"hodei_{role}_{self._suffix}"

    def url(self, role: str) -> str:
        return login(self.admin_url, self.name(role))

    def _run(self, conn: Connection, statements: str) -> None:
        renamed = re.sub(
            r"\bhodei_(owner|server|enqueuer)\b", lambda m: self.name(m[1]), statements
        )
        conn.execute(renamed.encode())

    def drop(self) -> None:
        self.owner.close()
        for role in ("server", "enqueuer", "owner"):
            self.admin.execute(
                f"DROP OWNED BY {self.name(role)} CASCADE; DROP ROLE {self.name(role)}".encode()
            )
        self.admin.close()


@pytest.fixture
def roles(empty_database_url: str) -> Iterator[Roles]:
    made = Roles(empty_database_url)
    yield made
    made.drop()
