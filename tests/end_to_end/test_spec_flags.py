"""Specs from flags, files and standard input, through the real program and a real worker."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import TREE
from tests.end_to_end.submitting import count
from tests.running import Hodei

pytestmark = pytest.mark.usefixtures("submits")


def test_short_flags_and_the_environment(
    hodei: Hodei, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MINE", "m")
    monkeypatch.setenv("ALSO_MINE", "a m")
    (tmp_path / "job.env").write_text("# theirs\nFROM_FILE=1\nBOTH=file\nMINE\n")
    submitted = hodei.ok(
        *("job", "submit", "-n", "short", "-l", "zone=a", "-w", "/tmp", "-e", "BOTH=flag"),
        *("-e", "ALSO_MINE", "--env-file", str(tmp_path / "job.env"), "-q", "-o", "json"),
        *("--timeout", "1h30m", "--term-signal", "int", "--umask", "027"),
        *("--command", "pwd; umask; echo $FROM_FILE $BOTH $MINE $ALSO_MINE"),
    )
    job_id = submitted.text.strip()
    job = hodei.finish(job_id)
    assert hodei.wrote(job_id) == "/tmp\n0027\n1 flag m a m\n"
    assert (job["name"], job["state"]) == ("short", "SUCCEEDED")
    spec = job["spec"]
    assert (spec["timeout"], spec["term"], spec["umask"]) == (5400, "INT", "0027")


def test_i_gives_the_job_my_standard_input_and_without_it_nothing_is_read(hodei: Hodei) -> None:
    data = bytes(range(256)) * 500
    assert hodei.ok("job", "run", "-i", "--", "cat", stdin=data).out == data
    assert hodei.ok("job", "run", "-i", "--", "cat", stdin=b"").out == b""
    loop = 'while read -r line; do "$@" -- echo "got $line"; done'
    hodei_run = [sys.executable, "-m", "hodei.cli.main", "--server", hodei.addresses[0], "job"]
    done = subprocess.run(
        ["sh", "-c", loop, "sh", *hodei_run, "run"],
        input=b"one\ntwo\nthree\n",
        capture_output=True,
        check=True,
        timeout=60,
    )
    assert done.stdout == b"got one\ngot two\ngot three\n"


def test_more_standard_input_than_a_spec_holds_is_refused(hodei: Hodei) -> None:
    before = count(hodei)
    for data, words in (
        (b"x" * 262_145, "--stdin -: expected at most 262144 bytes"),
        (b"x" * 262_140, "standard input: expected at most 262144 bytes of JSON, got 262"),
        (b"\xff" * 250_000, "standard input: expected at most 262144 bytes of JSON, got 333"),
    ):
        ran = hodei.run("job", "run", "-i", "--", "cat", stdin=data)
        assert ran.code == 2
        assert words in ran.err
    with Path("/dev/zero").open("rb") as endless:
        hodei_run = [sys.executable, "-m", "hodei.cli.main", "job", "run", "-i", "--", "cat"]
        done = subprocess.run(
            hodei_run, stdin=endless, capture_output=True, check=False, timeout=20
        )
    assert (done.returncode, b"at most 262144 bytes" in done.stderr) == (2, True)
    assert count(hodei) == before


def test_a_file_in_yaml_runs_and_its_mistakes_have_line_and_key(
    hodei: Hodei, tmp_path: Path
) -> None:
    submitted = hodei.ok("job", "submit", "-f", str(TREE / "examples/nightly.yaml"))
    jobs = [hodei.finish(job_id) for job_id in submitted.text.split()]
    assert [job["state"] for job in jobs] == ["SUCCEEDED"] * 3
    assert [hodei.wrote(job["job_id"]) for job in jobs] == ["3\n", "3\n", "hello\n"]
    assert jobs[1]["spec"]["timeout"] == 5400
    before = count(hodei)
    file = tmp_path / "specs.yaml"
    file.write_text(
        "- command: ls\n- command: ls\n  env:\n    A: 1\n- command: ls\n\n  timeout: soon\n"
    )
    ran = hodei.run("job", "submit", "-f", str(file))
    assert (ran.code, ran.out) == (2, b"")
    assert f"nothing was submitted: {file} line 4, key env.A: expected a string, got num" in ran.err
    assert (
        f'{file} line 7, key timeout: expected seconds from 0.001 to 31536000, as 90, "' in ran.err
    )
    assert count(hodei) == before
    partly = hodei.run("job", "submit", "-f", "-", "--partial", stdin=file.read_bytes())
    assert len(partly.text.split()) == count(hodei) - before == 1
    assert "standard input line 7, key timeout" in partly.err


def specs_of_each_kind(tmp_path: Path) -> list[tuple[tuple[str, ...], bytes]]:
    script = tmp_path / "script.py"
    script.write_text("#!/usr/bin/env python3\nprint('ñ')\n")
    return [
        (("--command", "echo a; echo b", "-e", "A=ñ\n1", "--timeout", "1.5h"), b""),
        (("--script", str(script)), b""),
        (("--script", "-", "--interpreter", "sh -e", "--grace", "500ms"), b"cat\n"),
        (("-i", "--", "cat"), b"text\n"),
        (("-i", "--umask", "0077", "--term-signal", "SIGUSR2", "--", "cat"), b"\0\xff"),
        (("--run-at", "+1s", "--final-exit-code", "3", "--", "echo", "<script>"), b""),
    ]


def test_what_get_prints_and_what_a_dry_run_prints_can_be_submitted_again(
    hodei: Hodei, tmp_path: Path
) -> None:
    specs = []
    for flags, stdin in specs_of_each_kind(tmp_path):
        dry = hodei.ok("job", "submit", "--dry-run", *flags, stdin=stdin).json
        run = hodei.ok("job", "run", "--dry-run", *flags, stdin=stdin).json
        assert {**run, "run_at": ""} == {**dry, "run_at": ""}, flags
        spec = hodei.job(hodei.submit(*flags, stdin=stdin))["spec"]
        assert {**dry, "run_at": ""} == {**spec, "run_at": ""}, flags
        specs.append(spec)
    before = count(hodei)
    for form in ("json", "yaml"):
        file = tmp_path / f"again.{form}"
        file.write_text(json.dumps(specs) if form == "json" else yaml.safe_dump(specs))
        dry = hodei.ok("job", "submit", "--dry-run", "-f", str(file), "-o", form)
        assert (yaml.safe_load(dry.text) if form == "yaml" else dry.json) == specs
        again = hodei.ok("job", "submit", "-f", str(file)).text.split()
        assert [hodei.job(job_id)["spec"] for job_id in again] == specs
        hodei.all_succeeded(again)
    assert count(hodei) == before + 2 * len(specs)


def test_a_dry_run_sends_nothing_and_refuses_what_a_submit_refuses(tmp_path: Path) -> None:
    """There is no server at all."""
    file = tmp_path / "specs.jsonl"
    file.write_text('{"command": "a", "id": "0190B5C5-0000-7000-8000-000000000001"}\n{"x": 1}\n')
    nowhere = [sys.executable, "-m", "hodei.cli.main", "--server", "127.0.0.1:1", "job", "submit"]

    def run(*flags: str) -> Any:
        ran = [*nowhere, "--dry-run", *flags]
        return subprocess.run(ran, capture_output=True, text=True, check=False, timeout=20)

    refused = run("-f", str(file))
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"{file} line 2, key x: unknown key; known are id, name" in refused.stderr
    partly = run("-f", str(file), "--partial")
    mine = {"id": "0190b5c5-0000-7000-8000-000000000001", "command": "a"}
    assert (partly.returncode, json.loads(partly.stdout)) == (2, [mine])
    named = run("--actor", "me", "--id", mine["id"], "--command", "a")
    assert json.loads(named.stdout) == {**mine, "actor": "me"}
