"""Roles with the GRANTs of docs/database.md, the program run against a database, and days that do not
change within a test."""

import re
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

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


OF_TODAY = """
SELECT hodei_make_days();
SELECT hodei_drop_day(parent, (clock_timestamp() AT TIME ZONE 'UTC')::date - 1)
FROM unnest(ARRAY['domain_events', 'job_logs']) parent
"""

LONGEST_TEST = timedelta(minutes=2)


@pytest.fixture
def one_day(db: Connection) -> None:
    """For tests that compare days: none begins where it would see midnight (UTC), and where the run
    has seen it the database gets the days of one that is made now. Its template has those of the
    day before."""
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    if midnight - now < LONGEST_TEST:
        time.sleep((midnight - now).total_seconds())
    db.execute(OF_TODAY)
