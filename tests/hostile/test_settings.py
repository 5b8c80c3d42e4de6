"""A database whose settings are all set otherwise: everything goes as ever."""

from hodei.local.stack import Stack
from tests.running import Hodei

ODD = (
    "datestyle = 'German'",
    "intervalstyle = 'sql_standard'",
    "timezone = 'Pacific/Chatham'",
    "bytea_output = 'escape'",
    "standard_conforming_strings = off",
    "array_nulls = off",
    "extra_float_digits = -15",
    "xmlbinary = 'hex'",
    "escape_string_warning = off",
    "transform_null_equals = on",
    "default_transaction_isolation = 'repeatable read'",
    "search_path = public, pg_catalog",
    "enable_indexscan = off",
    "default_transaction_deferrable = on",
    "row_security = off",
    "synchronous_commit = off",
)


def test_no_setting_of_a_database_matters(fresh: Hodei) -> None:
    name = fresh.conn.info.dbname
    for setting in ODD:
        fresh.sql(f"ALTER DATABASE {name} SET {setting}")
    with Stack(fresh.folder / "odd") as stack:
        address = stack.server("server", fresh.url)
        stack.worker("worker", address, fresh.folder / "w", fresh.token(), "--label", "a=b")
        odd = Hodei(stack, fresh.url, fresh.folder, [address], fresh.conn)
        ran = odd.run(
            "job",
            "run",
            "--label",
            "a=b",
            "--timeout",
            "20",
            "--command",
            r"printf 'a\200\377\\b'; echo err >&2; exit 3",
        )
        assert (ran.code, ran.out) == (3, b"a\x80\xff\\b"), ran
        later = odd.submit(
            "--run-at", "2126-01-31T12:00:00.000001Z", "--queue-timeout", "1h", "--command", "true"
        )
        assert odd.job(later)["run_at"] == "2126-01-31T12:00:00.000001Z"
        odd.ok("job", "cancel", later)
        (failed,) = (
            job["job_id"]
            for job in odd.ok("job", "list", "--state", "FAILED", "--format", "json").json
        )
        assert [
            attempt["exit_code"]
            for attempt in odd.ok("job", "attempts", failed, "--format", "json").json
        ] == [3]
        assert len(odd.ok("job", "timeline", failed, "--format", "json").json) == 4
        for command in (("worker", "list"), ("token", "list"), ("status",), ("job", "list")):
            assert odd.ok(*command).text
        log = (stack.logs / "server.log").read_text()
        assert "ERROR" not in log
        assert "WARNING" not in log
