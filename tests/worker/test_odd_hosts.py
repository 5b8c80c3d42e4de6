"""A worker behaves the same however it is started."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.hosts import ROOT, make
from tests.running import Hodei

pytestmark = pytest.mark.unprivileged

WAYS = {
    "umask": ["sh", "-c", 'umask 077; exec "$@"', "sh"],
    "nohup": ["nohup"],
    "closed": ["sh", "-c", 'exec "$@" <&-', "sh"],
    "container": ["unshare", "--pid", "--fork", "--mount-proc", "sh", "-c", '"$@"; true', "sh"],
}
SHOWS = "umask; grep SigIgn /proc/self/status; cat; pwd >/dev/null; touch x && stat -c %a x; (sleep 300 &); echo done"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ["root", "job-user", "ordinary"])
def test_it_works_and_jobs_see_nothing_of_it(
    host_system: Hodei, hosts_folder: Path, way: str, kind: str
) -> None:
    if way == "container" and (kind == "ordinary" or not ROOT):
        pytest.skip("only root can make a PID namespace everywhere")
    one = make(host_system, hosts_folder, kind, way)
    one.prefix = (*WAYS[way], *one.prefix)
    one.up(host_system.token())
    try:
        job = one.finish(SHOWS, stdin="in\n", grace=1)
        umask, _, ignored, *rest = job.text.split()
        assert (umask, rest) == ("0022", ["in", "644", "done"]), job
        assert int(ignored, 16) & ~(0b11 << 31) == 0
        assert (job.state, job.leftover) == ("SUCCEEDED", 1)
        job = one.finish("sleep 600", timeout=0.5, grace=1)
        assert job.reason == "TIMEOUT"
        assert one.finish(script='echo "$#"; test -r "$0"').state == "SUCCEEDED"
    finally:
        one.stop()
        if way == "nohup" and Path("nohup.out").exists():
            os.unlink("nohup.out")  # noqa: PTH108


NO_HOME = """
import os
import click
from hodei.cli import dev, first_id
from hodei_worker import cli as worker

os.setuid(2_000_000_011)
os.environ.pop("HOME", None)
os.environ.pop("XDG_STATE_HOME", None)
with first_id.of_file(b"x"):
    pass
for default in (dev.default_data_dir, worker.default_state_dir):
    try:
        default()
    except click.UsageError as error:
        print(error.message)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user without a home")
def test_a_user_without_a_home_is_told_which_folder_to_give() -> None:
    ran = subprocess.run(
        [sys.executable, "-c", NO_HOME], timeout=20, capture_output=True, text=True, check=False
    )
    assert ran.stderr == ""
    assert ran.stdout == "".join(
        f"{flag}: expected a folder, as this user has no home; give one\n"
        for flag in ("--data-dir", "--state-dir")
    )
