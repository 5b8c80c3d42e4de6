"""A Ctrl-C that comes while the modules of `hodei` are read."""

import signal
import subprocess
import sys

import pytest

INTERRUPTED = """
import os, signal, sys

class Interrupt:
    def find_spec(name, *_):
        if name == "hodei.cli.program":
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, {heeds})
sys.meta_path.insert(0, Interrupt)
sys.argv = ["hodei", "--version"]
from hodei.cli.start import main
main()
"""


@pytest.mark.parametrize(
    ("heeds", "code", "words"),
    [
        ("signal.default_int_handler", -signal.SIGINT, ""),
        ("signal.SIG_IGN", 0, "hodei, version "),
    ],
)
def test_it_ends_the_program_without_a_traceback(heeds: str, code: int, words: str) -> None:
    program = [sys.executable, "-c", INTERRUPTED.format(heeds=heeds)]
    ran = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stderr) == (code, "")
    assert ran.stdout.startswith(words)
