"""A wait that is interrupted wherever it is ends at once."""

import signal
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


ENDED = """
import sys
import grpc
from hodei.protocol import hodei_pb2 as pb, hodei_pb2_grpc
from hodei.tls.caller import close_interrupted

address, job_id = sys.argv[1:]
sys.setswitchinterval(1e-5)  # so that threads are left in the middle of what they do
opened = []
for _ in range(5):
    channel = grpc.insecure_channel(address)
    answers = hodei_pb2_grpc.JobServiceStub(channel).WaitJobs(pb.WaitJobsRequest(job_ids=[job_id]))
    opened.append((channel, answers))
for channel, _ in opened:
    close_interrupted(channel)
"""


def test_a_program_ends_after_its_channels_were_closed(one: Hodei) -> None:
    job_id = one.submit("--run-at", "2900-01-01T00:00:00Z", "--command", "true")
    program = [sys.executable, "-c", ENDED, one.addresses[0], job_id]
    running = [subprocess.Popen(program) for _ in range(8)]
    try:
        assert [process.wait(timeout=20) for process in running] == [0] * 8
    finally:
        for process in running:
            process.kill()


COMMAND = """
import atexit, os
from hodei.cli.start import main

atexit.register(os.write, 1, b"the interpreter's last steps")
main()
"""


def test_a_command_that_used_grpc_ends_without_the_interpreters_last_steps(one: Hodei) -> None:
    job_id = one.submit("--run-at", "2900-01-01T00:00:00Z", "--command", "true")
    argv = ["--server", one.addresses[0], "job", "wait", job_id]
    with subprocess.Popen(
        [sys.executable, "-c", COMMAND, *argv], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as command:
        assert command.stderr
        assert b" waits for its time" in command.stderr.readline()
        command.send_signal(signal.SIGINT)
        out, err = command.communicate(timeout=20)
    assert (command.returncode, out) == (130, b"")
    assert err.decode() == f"\nhodei: job {job_id} has not ended; nothing is cancelled\n"


LOST = """
import signal, time, weakref
from hodei.protocol import interrupts

class Lock: pass

interrupts.lose_none()
lock = Lock()
noticed = weakref.ref(lock, lambda _: signal.raise_signal(signal.SIGINT))
try:
    del lock
    time.sleep(20)
except KeyboardInterrupt:
    raise SystemExit(130)
"""


def test_a_ctrl_c_that_python_only_prints_comes_again() -> None:
    program = [sys.executable, "-c", LOST]
    ran = subprocess.run(program, timeout=15, capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (130, b"")
