"""Who needs which rights: the GRANTs of docs/database.md, run as they stand, by real roles."""

import asyncio
import re
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import psycopg
import pytest
from loguru import logger

from hodei.flow.maintain import Maintainer
from hodei.local.stack import Stack, mint_token
from hodei.store import dead_rows, rights, schema_check
from hodei.store.database import Database
from tests.conftest import TREE, Connection
from tests.eventually import eventually
from tests.store.conftest import Roles, hodei, login


def holds(conn: Connection, query: str, expected: object) -> bool:
    return conn.execute(query.encode()).fetchall() == expected


OLD = """
SET search_path = hodei;
CREATE TABLE domain_events_20200101 PARTITION OF domain_events FOR VALUES FROM ('2020-01-01Z') TO ('2020-01-02Z');
CREATE TABLE job_logs_20200101 PARTITION OF job_logs FOR VALUES FROM ('2020-01-01Z') TO ('2020-01-02Z')
"""


@pytest.mark.long
def test_a_server_does_all_of_its_work_with_its_grants(roles: Roles, tmp_path: Path) -> None:
    url = roles.url("server")
    checked = hodei(url, "db", "check")
    assert (checked.code, checked.text.splitlines()[0]) == (0, "Schema version 1.6 stands."), (
        checked
    )
    assert "missing" not in checked.text
    roles.owner.execute(OLD.encode())
    tomorrow = f"job_logs_{datetime.now(UTC) + timedelta(days=1):%Y%m%d}"
    roles.owner.execute(f"DROP TABLE {tomorrow}".encode())
    with Stack(tmp_path / "logs") as stack:
        address = stack.server("server", url)
        stack.worker("worker", address, tmp_path / "w", mint_token(url))
        stack.start(
            "job", ["hodei.cli.main", "--server", address, "job", "run", "--command", "echo hello"]
        ).process.wait(30)
        for query, expected in (
            ("SELECT state FROM hodei.jobs", [("SUCCEEDED",)]),
            ("SELECT count(*) FROM hodei.job_logs", [(1,)]),
            ("SELECT count(*) FROM pg_class WHERE relname ~ '_20200101$'", [(0,)]),
            (
                """
                SELECT count(*)
                FROM pg_class
                WHERE relname ~ '^(domain_events|job_logs)_[0-9]{8}$'
                """,
                [(18,)],
            ),
        ):
            eventually(partial(holds, roles.admin, query, expected), 30)
        for words in (
            ["job", "submit", "--command", "sleep 60"],
            ["worker", "list"],
            ["token", "create"],
            ["token", "list"],
            ["status"],
        ):
            ran = hodei(url, "--server", address, *words)
            assert ran.code == 0, ran
            if words[0] == "job":
                job_id = ran.text.strip()
                assert hodei(url, "--server", address, "job", "cancel", job_id).code == 0
        eventually(
            lambda: (
                roles.admin.execute(
                    "SELECT count(*) FROM hodei.jobs WHERE state = 'CANCELLED'"
                ).fetchone()
                == (1,)
            ),
            30,
        )
        log = (tmp_path / "logs/server.log").read_text()
        revoked = f"REVOKE ALL ON hodei_servers FROM {roles.name('server')}"
        roles.owner.execute(revoked.encode())
        listed = hodei(url, "--server", address, "status", "--format", "json")
        assert (listed.json["servers"], listed.json["listening"]) == (1, [])
        roles.owner.execute(f"GRANT ALL ON hodei_servers TO {roles.name('server')}".encode())
    for sign in ("permission denied", "lacks a right", "missing right", "ERROR", "Traceback"):
        assert sign not in log, log
    assert hodei(url, "db", "maintain", "--keep-days", "1").code == 0


def test_each_right_that_is_missing_is_named(roles: Roles) -> None:
    role, url = roles.name("server"), roles.url("server")
    needed = [(p, t) for t, all_of_them in rights.TABLES.items() for p in all_of_them.split(", ")]
    needed += [("USAGE", f"SEQUENCE {name}") for name in rights.SEQUENCES]
    needed += [
        ("EXECUTE", f"FUNCTION {f}")
        for f in (
            "hodei_make_days(integer)",
            "hodei_drop_day(text,date)",
            "hodei_pass_live_leases()",
        )
    ]
    for privilege, what in needed:
        if (privilege, what) == ("SELECT", "hodei_schema"):  # the version itself cannot be read
            continue
        roles.owner.execute(f"REVOKE {privilege} ON {what} FROM {role}".encode())
        stands, words = schema_check.check_sync(url)
        missing = [line for line in words.splitlines() if line.startswith("missing")]
        assert (stands, len(missing)) == (False, 1)
        assert missing[0].startswith(f"missing right: {privilege} ON {what}")
        roles.owner.execute(f"GRANT {privilege} ON {what} TO {role}".encode())
    assert schema_check.check_sync(url)[0]


def test_rows_that_are_hidden_from_the_server_are_named(roles: Roles) -> None:
    """Else it takes jobs out of the queue that it cannot see."""
    roles.owner.execute("ALTER TABLE jobs ENABLE ROW LEVEL SECURITY")
    checked = hodei(roles.url("server"), "db", "check")
    assert checked.code == 1
    assert "Row level security hides rows of jobs from this role" in checked.text
    assert hodei(roles.url("owner"), "db", "check").code == 0, "an owner sees all rows"


def test_who_enqueues_may_do_nothing_else(roles: Roles) -> None:
    with psycopg.connect(roles.url("enqueuer"), autocommit=True) as app:
        app.execute("""SELECT hodei_enqueue('{"command": "true", "env": {"A": "b"}}')""")
        for refused in (
            "SELECT FROM jobs",
            "SELECT hodei_make_days()",
            "SELECT hodei_drop_day('job_logs', '2020-01-01')",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                app.execute(refused.encode())
    checked = hodei(roles.url("enqueuer"), "db", "check")
    assert (checked.code, checked.err.count("\n")) == (125, 1)
    assert "permission denied for table hodei_schema: this role lacks a right" in checked.err


def test_who_mints_by_sql(roles: Roles) -> None:
    grants = re.findall(
        r"`(GRANT [^`]*)`",
        (TREE / "docs/database.md").read_text().split("### Who mints tokens by SQL")[1],
    )[:3]
    for grant in grants:
        roles.owner.execute(f"{grant} TO {roles.name('enqueuer')}".encode())
    with psycopg.connect(roles.url("enqueuer"), autocommit=True) as app:
        assert app.execute(
            "INSERT INTO worker_bootstrap_tokens DEFAULT VALUES RETURNING token"
        ).fetchone()


def test_a_role_that_may_not_create_is_told_so_in_one_line(
    empty_database_url: str, tmp_path: Path
) -> None:
    role = f"poor_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(empty_database_url, autocommit=True) as admin:
        admin.execute(
            f"CREATE ROLE {role} LOGIN PASSWORD 'x'; REVOKE CREATE ON SCHEMA public FROM PUBLIC".encode()
        )
        try:
            url = login(empty_database_url, role)
            server = subprocess.run(
                [sys.executable, "-m", "hodei.cli.server", "--grpc", "127.0.0.1:0"],
                env={"DATABASE_URL": url},
                cwd=TREE,
                capture_output=True,
                text=True,
                timeout=30,
                check=False,
            )
            applied = hodei(url, "db", "apply")
            assert (server.returncode, applied.code) == (1, 125)
            for words in (server.stderr, applied.err):
                assert words.startswith(
                    "Error: schema.sql could not be applied: permission denied for schema public"
                ), words
                assert words.count("\n") == 1
        finally:
            admin.execute(f"DROP ROLE {role}".encode())


def test_a_server_without_a_right_says_so_once_and_works(roles: Roles, tmp_path: Path) -> None:
    roles.owner.execute(
        f"REVOKE EXECUTE ON FUNCTION hodei_make_days, hodei_drop_day FROM {roles.name('server')}".encode()
    )
    lines: list[str] = []
    sink = logger.add(lambda line: lines.append(str(line)), level="WARNING", format="{message}")
    try:
        with Stack(tmp_path) as stack:
            stack.server("server", roles.url("server"))
            log = (tmp_path / "server.log").read_text()
        assert log.count("missing right: EXECUTE ON FUNCTION hodei_make_days(integer)") == 1

        async def maintained() -> list[str]:
            async with Database(roles.url("server")) as database:
                maintainer = Maintainer(database, 30, tries=1)
                for _ in range(3):
                    maintainer._tell(report := await maintainer.once())
                return report.refused

        assert len(asyncio.run(maintained())) == 1
        assert len([line for line in lines if "maintenance is not whole" in line]) == 1, lines
    finally:
        logger.remove(sink)
    ran = hodei(roles.url("server"), "db", "maintain")
    assert ran.code == 1
    assert "lacks a right" in ran.err


def test_a_server_that_may_not_mend_starts_where_all_that_it_calls_is_there(
    roles: Roles, tmp_path: Path
) -> None:
    index = "index jobs_by_correlation is not as this release makes it"
    roles.owner.execute("DROP INDEX jobs_by_correlation")
    roles.owner.execute("CREATE INDEX jobs_by_correlation ON jobs (id)")
    checked = hodei(roles.url("server"), "db", "check")
    assert (checked.code, checked.text.startswith(index.capitalize())) == (1, True), checked
    with Stack(tmp_path) as stack:
        stack.server("server", roles.url("server"))
        log = (tmp_path / "server.log").read_text()
    assert (log.count("WARNING"), log.count(index)) == (1, 1), log
    assert hodei(roles.url("owner"), "db", "apply").code == 0
    assert hodei(roles.url("server"), "db", "check").code == 0


def test_a_vacuum_that_postgresql_skips_is_known(roles: Roles) -> None:
    async def vacuum(url: str) -> list[str]:
        async with Database(url) as database:
            return await database.run(dead_rows.vacuum)

    skipped = asyncio.run(vacuum(roles.url("server")))
    assert len(skipped) == 2
    assert "job_queue" in skipped[0]
    assert asyncio.run(vacuum(roles.url("owner"))) == []
    assert (
        f"note: role {roles.name('server')} may not vacuum job_queue and leases"
        in schema_check.check_sync(roles.url("server"))[1]
    )


@pytest.mark.parametrize(
    ("call", "words"),
    [
        ("hodei_make_days(61)", "expected 0 to 60 days"),
        ("hodei_make_days(-1)", "expected 0 to 60 days"),
        ("hodei_make_days(NULL)", "expected 0 to 60 days"),
        ("hodei_drop_day('jobs', '2020-01-01')", "expected domain_events or job_logs"),
        ("hodei_drop_day(NULL, '2020-01-01')", "expected domain_events or job_logs"),
        ("hodei_drop_day('job_logs', NULL)", "expected one that is over"),
        (
            "hodei_drop_day('job_logs', (now() AT TIME ZONE 'UTC')::date)",
            "expected one that is over",
        ),
    ],
)
def test_what_runs_with_the_owners_rights_does_that_and_no_more(
    db: Connection, call: str, words: str
) -> None:
    with pytest.raises(psycopg.errors.InvalidParameterValue, match=words):
        db.execute(f"SELECT {call}".encode())


def test_what_is_made_again_without_its_grants_is_named(roles: Roles) -> None:
    owner, server = roles.url("owner"), roles.name("server")
    roles.owner.execute("DROP SEQUENCE hodei.hodei_lease_seq; DROP FUNCTION hodei.hodei_uuid7()")
    roles.owner.execute("DROP FUNCTION hodei.hodei_drop_day(text, date)")
    applied = hodei(owner, "db", "apply")
    words = (
        "Made again without grants: function hodei_drop_day(text, date), sequence hodei_lease_seq"
    )
    assert applied.text.splitlines()[1].startswith(words), applied
    assert server in applied.text
    needed = "Missing right: USAGE ON SEQUENCE hodei_lease_seq"
    assert needed in hodei(roles.url("server"), "db", "check").text
    roles.owner.execute("DROP FUNCTION hodei.hodei_uuid7()")
    assert hodei(owner, "db", "apply").text == "Applied schema version 1.6.\n"
