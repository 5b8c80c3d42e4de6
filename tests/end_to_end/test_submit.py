"""`hodei job submit`: all or nothing, the order in which jobs of a file run, and what a file may
hold."""

import json
import time
import uuid
from pathlib import Path
from typing import Any

import grpc
import psycopg
import pytest

from hodei.domain.ids import uuid7
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from tests.end_to_end.submitting import count, create, written
from tests.eventually import eventually
from tests.running import Hodei, Ran

pytestmark = pytest.mark.usefixtures("submits")


# ── all or nothing ──


def test_one_refused_spec_and_nothing_of_the_call_is_stored(fresh: Hodei) -> None:
    mine = str(uuid7())
    create(fresh, [{"id": mine, "command": "true"}])
    for bad, code, words in (
        ({"command": ""}, "INVALID_ARGUMENT", "command: expected a program"),
        (
            {"id": mine, "command": "false"},
            "ALREADY_EXISTS",
            f"job {mine} exists with another spec",
        ),
    ):
        entries = create(fresh, [{"command": "a"}, bad, {"command": "c"}])
        assert [entry.error_code for entry in entries] == ["ABORTED", code, "ABORTED"]
        assert words in entries[1].error
        assert entries[0].error == "not stored: 1 other spec of the call was refused"
        assert not any(entry.job_id for entry in entries)
        assert count(fresh) == 1
        entries = create(fresh, [{"command": "a"}, bad], together=False)
        assert [entry.error_code for entry in entries] == ["", code], "by default the others stand"
        fresh.sql("DELETE FROM job_queue WHERE job_id <> %s", mine)
        fresh.sql("DELETE FROM jobs WHERE id <> %s", mine)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("run_at", "2026-01-31T12:00:00+20:00"),
        ("run_at", "9999-12-31T23:59:59-14:00"),
        ("timeout", 1e-300),
        ("silence_timeout", 1e300),
        ("name", "\N{GRINNING FACE}\0"),
    ],
)
def test_one_bad_value_among_a_thousand_costs_its_own_job(
    fresh: Hodei, key: str, value: object
) -> None:
    specs: list[dict[str, object]] = [{"command": "true"} for _ in range(1000)]
    specs[500][key] = value
    entries = create(fresh, specs, together=False)
    assert [entry.error_code for entry in entries] == [""] * 500 + ["INVALID_ARGUMENT"] + [""] * 499
    assert entries[500].error.startswith(f"{key}: expected")
    assert count(fresh) == 999
    assert fresh.ok("job", "list", "--limit", "5", "-q").text.count("\n") == 5


def test_all_of_a_call_stand_together_and_again(fresh: Hodei) -> None:
    specs = [{"id": str(uuid7()), "command": "true"} for _ in range(3)]
    specs.append(specs[0])  # the same job, named twice
    assert [entry.existed for entry in create(fresh, specs)] == [False, False, False, False]
    assert [entry.existed for entry in create(fresh, specs)] == [True] * 4
    assert count(fresh) == 3
    two = create(fresh, [specs[0], {**specs[0], "command": "false"}, {"command": "x"}])
    assert [entry.error_code for entry in two] == ["ABORTED", "ALREADY_EXISTS", "ABORTED"]


def test_a_row_that_the_database_refuses_is_named_and_one_that_vanishes_too(fresh: Hodei) -> None:
    fresh.sql("""CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF NEW.name = 'swallowed' THEN RETURN NULL; END IF;
        IF NEW.name = 'refused' THEN RAISE EXCEPTION 'not here' USING DETAIL = NEW.spec::text; END IF;
        RETURN NEW; END $$""")
    fresh.sql("CREATE TRIGGER own BEFORE INSERT ON jobs FOR EACH ROW EXECUTE FUNCTION own()")
    for name, words in (
        ("swallowed", "a trigger on one of Hodei's tables"),
        ("refused", "PostgreSQL refuses this job: not here"),
    ):
        specs: list[dict[str, Any]] = [
            {"command": "true", "env": {"KEY": "hidden"}} for _ in range(9)
        ]
        specs[6]["name"] = name
        entries = create(fresh, specs)
        assert [n for n, entry in enumerate(entries) if entry.error_code != "ABORTED"] == [6]
        assert words in entries[6].error
        assert "hidden" not in entries[6].error
        assert count(fresh) == 0
    assert "hidden" not in fresh.log("server-0")


def test_an_id_that_an_open_transaction_holds_keeps_nobody_else_waiting(fresh: Hodei) -> None:
    held = str(uuid7())
    with psycopg.connect(fresh.url) as other, grpc.insecure_channel(fresh.addresses[0]) as channel:
        other.execute(
            "SELECT hodei_enqueue(%s::text::jsonb)", [json.dumps({"id": held, "command": "true"})]
        )
        asked, took = [], []
        for _ in range(20):
            specs = [json.dumps({"id": held, "command": "true"}), '{"command": "true"}']
            request = pb.CreateJobsRequest(specs=specs, all_or_nothing=True)
            asked.append(
                hodei_pb2_grpc.JobServiceStub(channel).CreateJobs.future(request, timeout=30)
            )
            begun = time.monotonic()
            create(fresh, [{"command": "true"}], together=False)
            took.append(time.monotonic() - begun)
            time.sleep(0.1)
        assert sorted(took)[-3] < 2, f"innocent creates took {took}: two may be the machine's"
        assert {one.exception().code() for one in asked} == {grpc.StatusCode.UNAVAILABLE}
        assert "is held by a transaction" in asked[0].exception().details()
        other.rollback()
    assert count(fresh) == 20


def test_submit_of_a_file_is_all_or_nothing_unless_partial(fresh: Hodei, tmp_path: Path) -> None:
    specs: list[dict[str, Any]] = [
        {"command": "true"},
        {"command": "true", "retries": -1},
        {"command": ""},
        {"command": "true"},
    ]
    file = written(tmp_path, specs)
    refused = fresh.run("job", "submit", "--file", file)
    assert (refused.code, refused.out) == (2, b"")
    assert f"nothing was submitted: {file} line 1 spec 2, key retries" in refused.err
    assert f"\n{file} line 1 spec 3, key command" in refused.err
    assert count(fresh) == 0
    partly = fresh.run("job", "submit", "--file", file, "--partial")
    assert partly.code == 125
    assert len(partly.text.split()) == count(fresh) == 2
    assert f"{file} line 1 spec 2, key retries" in partly.err
    assert f"\n{file} line 1 spec 3, key command" in partly.err


# ── order ──


@pytest.mark.slow
@pytest.mark.parametrize("ids", ["made", "given"])
def test_a_thousand_jobs_on_one_slot_run_in_the_order_of_their_file(
    fresh: Hodei, tmp_path: Path, ids: str
) -> None:
    order = tmp_path / "order"
    order.touch(0o666)
    specs: list[dict[str, Any]] = [{"command": f"echo {n} >> {order}"} for n in range(1000)]
    if ids == "given":
        specs = [{"id": str(uuid.uuid4()), **spec} for spec in specs]
    submitted = fresh.ok("job", "submit", "--file", written(tmp_path, specs)).text.split()
    assert (submitted == sorted(submitted)) == (ids == "made")
    listed = [
        job["job_id"] for job in fresh.ok("job", "list", "--limit", "1000", "--format", "json").json
    ]
    assert listed == submitted[::-1], "newest first"
    fresh.stack.worker(
        "worker", fresh.addresses[0], tmp_path / "worker", fresh.token(), "--slots", "1"
    )
    eventually(lambda: order.read_text().count("\n") == 1000, most_s=60)
    assert order.read_text().split() == [str(n) for n in range(1000)]


# ── what a file may hold ──


def test_files_that_are_refused_in_words(hodei: Hodei, tmp_path: Path) -> None:
    before = count(hodei)
    for data, words in (
        (b'{"command": "\\ud800"}', "expected text"),
        (b'{"\\udc00": "true"}', "expected text"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"command": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deeply"),
        (json.dumps({"command": "x" * 10_000_000}).encode(), "expected at most 262144 bytes"),
        (b'{"comm\\u001band": "x"}', "comm\\x1band: unknown key"),
    ):
        ran = hodei.run("job", "submit", "--file", "-", stdin=data)
        assert ran.code == 2, ran
        assert_words(ran)
        assert words.replace("expected text", "expected") in ran.err
    ran = hodei.run("job", "submit", "--file", "/dev/zero", "--name", "x")
    assert "--file: expected specs alone, got --name with it" in ran.err
    assert count(hodei) == before


def assert_words(ran: Ran) -> None:
    assert "Traceback" not in ran.err
    assert "\x1b" not in ran.err


def test_a_spec_as_get_prints_it_can_be_submitted_again(hodei: Hodei) -> None:
    for flags, stdin in (
        (
            ("--command", "echo a; echo b", "--env", "A=ñ", "--timeout", "1m", "--label", "zone=a"),
            b"",
        ),
        (("--script", "-", "--interpreter", "sh -e"), b"echo of a script\n"),
        (("--script", "-"), b"echo of a script\n"),
        (("--script", "-", "--interpreter", "sh -e"), b"echo of a script\n"),
        (("--run-at", "+1s", "--", "echo", "<script>"), b""),
    ):
        first = hodei.submit(*flags, stdin=stdin)
        spec = hodei.job(first)["spec"]
        second = hodei.submit("--file", "-", stdin=json.dumps(spec).encode())
        assert second != first
        assert hodei.job(second)["spec"] == spec
        assert hodei.finish(second)["state"] == "SUCCEEDED"


# ── lists ──


def test_a_page_before_an_unknown_job_is_an_error_and_before_the_oldest_is_empty(
    fresh: Hodei,
) -> None:
    unknown = fresh.run("job", "list", "--before", str(uuid.uuid4()))
    assert unknown.code == 125
    assert "before: no job" in unknown.err
    only = fresh.submit("--command", "true")
    page = fresh.ok("job", "list", "--before", only, "--format", "json")
    assert page.json == []


def test_a_program_is_told_that_no_server_answers(hodei: Hodei) -> None:
    nowhere = ("--server", "127.0.0.1:1", "--format", "json")
    for command in ("submit", "run"):
        told = json.loads(hodei.run("job", command, "--command", "true", *nowhere).err)
        assert told["error"]["kind"] == "no_server"
