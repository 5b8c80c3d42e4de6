"""A wait that is interrupted wherever it is ends at once."""

import subprocess
import sys
import time

import pytest

from tests.running import Hodei

ENDS_WITHIN_S = 10.0


@pytest.mark.parametrize("round_", range(3))
def test_the_time_of_a_wait_may_be_up_at_any_moment(one: Hodei, round_: int) -> None:
    job_id = one.submit("--run-at", "2900-01-01T00:00:00Z", "--command", "true")
    for milliseconds in range(1 + round_, 60, 3):
        begun = time.monotonic()
        ran = one.run("job", "wait", job_id, "--timeout", f"{milliseconds}ms")
        assert time.monotonic() - begun < ENDS_WITHIN_S
        assert (ran.code, f"job {job_id} has not ended" in ran.err) == (125, True), ran


INTERRUPTED = """
import signal, sys
import hodei.protocol.hodei_pb2_grpc  # an interrupted import leaves half a module
from hodei.client import Hodei

signal.signal(signal.SIGALRM, signal.default_int_handler)
address, job_id, first = sys.argv[1:]
for milliseconds in range(int(first), 60, 3):
    try:
        with Hodei(address) as client:
            signal.setitimer(signal.ITIMER_REAL, milliseconds / 1000)
            client.wait(job_id)
    except KeyboardInterrupt:
        continue
    raise SystemExit("the wait has ended by itself")
"""


@pytest.mark.parametrize("first", [1, 2, 3])
def test_a_program_is_interrupted_at_any_moment(one: Hodei, first: int) -> None:
    job_id = one.submit("--run-at", "2900-01-01T00:00:00Z", "--command", "true")
    program = [sys.executable, "-c", INTERRUPTED, one.addresses[0], job_id, str(first)]
    ran = subprocess.run(program, timeout=60, capture_output=True, text=True, check=False)
    # What gRPC's own threads say of an interrupt is not ours: a line of a traceback of ours is.
    ours = [line for line in ran.stderr.splitlines() if "/hodei/" in line]
    assert (ran.returncode, ours) == (0, []), ran.stderr
