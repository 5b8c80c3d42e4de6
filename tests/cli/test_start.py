"""A Ctrl-C that comes while the modules of a program are read."""

import configparser
import signal
import subprocess
import sys

import pytest

from tests.conftest import TREE

INTERRUPTED = """
import os, signal, sys
import hodei.cli.start, hodei_worker.start

class Interrupt:
    def find_spec(name, *_):
        if name == "{module}":
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, {heeds})
sys.meta_path.insert(0, Interrupt)
sys.argv = ["hodei", "--version"]
{start}()
"""


START = {
    "hodei.cli.start.main": "hodei.cli.program",
    "hodei.cli.start.server": "hodei.cli.program",
    "hodei_worker.start.main": "hodei_worker.identity",
}
"""The programs, each with one of the modules that it reads."""


@pytest.mark.parametrize(("start", "module"), START.items())
@pytest.mark.parametrize(
    ("heeds", "code", "words"),
    [
        ("signal.default_int_handler", -signal.SIGINT, ""),
        ("signal.SIG_IGN", 0, ", version "),
    ],
)
def test_it_ends_the_program_without_a_traceback(
    start: str, module: str, heeds: str, code: int, words: str
) -> None:
    text = INTERRUPTED.format(start=start, module=module, heeds=heeds)
    program = [sys.executable, "-c", text]
    ran = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
    assert (ran.returncode, ran.stderr) == (code, "")
    assert words in ran.stdout


def test_the_installed_programs_begin_so() -> None:
    settings = configparser.ConfigParser()
    settings.read(TREE / "setup.cfg")
    begun = settings["options.entry_points"]["console_scripts"].split("\n")[1:]
    assert [line.partition(" = ")[2].replace(":", ".") for line in begun] == list(START)
