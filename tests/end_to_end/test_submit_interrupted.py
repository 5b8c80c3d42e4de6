"""A Ctrl-C in the middle of `hodei job submit --file`."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import Hodei

pytestmark = pytest.mark.usefixtures("submits")

JOBS = 6000


@pytest.mark.parametrize("flags", [(), ("--partial",)])
def test_it_says_what_stands_and_that_the_command_may_be_repeated(
    fresh: Hodei, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    file = tmp_path / "jobs.jsonl"
    spec = {"command": "true", "labels": {"none": "x"}}
    file.write_text("".join(json.dumps(spec | {"name": str(n)}) + "\n" for n in range(JOBS)))
    command = [sys.executable, "-m", "hodei.cli.main", "job", "submit", "--file", str(file), *flags]
    environment = os.environ | {"HODEI_SERVER_ADDRESS": fresh.addresses[0]}
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    stand = re.search(rf"(\d+) of {JOBS} jobs stand, perhaps more; the same command may", said)
    assert stand, said
    assert int(stand[1]) <= fresh.sql("SELECT count(*) FROM jobs")[0][0] < JOBS
    fresh.ok("job", "submit", "--file", str(file), *flags)
    assert fresh.sql("SELECT count(*) FROM jobs") == [(JOBS,)]
