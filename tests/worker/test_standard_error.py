"""What the supervisor says when its log cannot be written."""

import subprocess
import sys

SAYS = """
import os, sys, traceback
from hodei_worker.supervisor.standard_error import forgive
forgive()
print("one: ö \\udc80", file=sys.stderr, flush=True)
try:
    1 / 0
except ZeroDivisionError as error:
    traceback.print_exception(error, file=sys.stderr)
print("x" * 100_000, file=sys.stderr)
sys.stderr.flush()
print("all steps were taken")
"""


def test_a_full_disk_interrupts_nothing() -> None:
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        ran = subprocess.run(
            [sys.executable, "-c", SAYS], check=True, stdout=subprocess.PIPE, stderr=full
        )
    assert ran.stdout == b"all steps were taken\n"


def test_it_is_written_at_once_where_it_can_be() -> None:
    ran = subprocess.run([sys.executable, "-c", SAYS], capture_output=True, check=True)
    said = ran.stderr.decode()
    assert said.startswith("one: ö \\udc80\nTraceback")
    assert said.endswith("x" * 100_000 + "\n")
