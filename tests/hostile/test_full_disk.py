"""Disks that are full for a while. A worker whose secret is due then goes on with the old one, and
renews it when there is room; a log goes on with whole lines."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hodei.local.stack import Stack
from tests.eventually import eventually
from tests.running import Hodei


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a file system of 2 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mounted, check=False).returncode:
        pytest.skip("a file system can be mounted only by root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


LATER = b'{"command": "true", "run_at": "2126-01-01T00:00:00Z"}\n'


def fill(filler: Path) -> None:
    with filler.open("ab", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 512)


def test_a_program_that_cannot_write_into_its_folder_names_it(
    one: Hodei, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(small_disk / "filler")
    state = small_disk / "w"
    worker = [sys.executable, "-m", "hodei_worker", "--state-dir", str(state)]
    ran = subprocess.run(worker, timeout=20, capture_output=True, text=True, check=False)
    words = "cannot write there (No space left on device); choose another folder"
    assert (ran.returncode, ran.stderr) == (2, f"Error: --state-dir {state}: {words}\n")
    monkeypatch.setenv("HODEI_DATA_DIR", str(small_disk / "dev"))
    dev = one.run("dev")
    assert dev.code == 125
    assert f"Error: {small_disk}/dev: cannot write there (No space left on device)\n" in dev.err
    monkeypatch.setenv("XDG_STATE_HOME", str(small_disk))
    submitted = one.ok("job", "submit", "--file", "-", stdin=LATER)
    assert one.sql("SELECT id::text FROM jobs") == [(submitted.text.strip(),)]


def test_a_full_disk_puts_a_renewal_off(one: Hodei, small_disk: Path) -> None:
    state, filler = small_disk / "w", small_disk / "filler"
    part = one.stack.worker("worker", one.addresses[0], state, one.token())
    before = (state / "identity.json").read_bytes()
    filler.write_bytes(b"")
    fill(filler)
    one.sql("UPDATE workers SET credential_since = now() - interval '26 days'")
    one.sql("UPDATE workers SET session = session + 1")
    one.sql("SELECT pg_notify('hodei_worker', id::text) FROM workers")
    eventually(lambda: "the worker's credential is not renewed" in one.log("worker"))
    assert "No space left on device" in one.log("worker")
    assert (state / "identity.json").read_bytes() == before
    assert not (state / "identity.new").exists()
    assert one.sql("SELECT state, connected FROM workers") == [("READY", True)]

    filler.unlink()
    Stack.stop_part(part)
    one.stack.worker("worker-again", one.addresses[0], state, None)
    renewed = "SELECT count(*) FROM domain_events WHERE event_type = 'WorkerCredentialRenewed'"
    eventually(lambda: one.sql(renewed) == [(1,)])
    eventually(lambda: len(json.loads((state / "identity.json").read_text())["secrets"]) == 2)


def test_a_log_of_json_goes_on_with_whole_lines(one: Hodei, small_disk: Path) -> None:
    """Only the line that met the full disk is cut off."""
    with Stack(small_disk / "logs") as stack:
        address = stack.server("full", one.url, environment={"HODEI_LOG_FORMAT": "json"})
        filler = small_disk / "filler"
        fill(filler)
        one.ok("--server", address, "job", "submit", "-f", "-", stdin=LATER * 100)
        filler.unlink()
        again = one.ok("--server", address, "job", "submit", "-f", "-", stdin=LATER * 10).text
        stack.stop()
        *lines, end = (small_disk / "logs" / "full.log").read_text().split("\n")
    assert end == ""
    cut = [line for line in lines if not line.endswith("}")]
    assert len(cut) <= 1, "none only if the disk was full at the end of a line"
    said = [json.loads(line) for line in lines if line not in cut]
    created = [line["job_id"] for line in said if "(JobCreated)" in line["message"]]
    assert created[-10:] == again.split()
    assert len(created) < 100
