"""A worker whose disk is full when its secret is due: it goes on with the old one, and renews it
when there is room."""

import json
import os
import subprocess
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


def test_a_full_disk_puts_a_renewal_off(one: Hodei, small_disk: Path) -> None:
    state, filler = small_disk / "w", small_disk / "filler"
    part = one.stack.worker("worker", one.addresses[0], state, one.token())
    before = (state / "identity.json").read_bytes()
    filler.write_bytes(b"")
    with filler.open("ab", buffering=0) as file:
        try:
            while True:
                file.write(b"x" * 512)
        except OSError:
            pass
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
