"""The programs as they are installed: help with an example, quick imports, flags from the
environment, a wheel that works elsewhere."""

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import click
import pytest

from tests.conftest import TREE
from tests.hosts import CAN_COMPILE

PROGRAMS = [
    ["hodei.cli.main"],
    ["hodei.cli.server"],
    ["hodei_worker"],
    ["hodei.cli.main", "dev"],
    ["hodei.cli.main", "job"],
    ["hodei.cli.main", "status"],
    ["hodei.cli.main", "server"],
    *(
        ["hodei.cli.main", "job", c]
        for c in ("run", "submit", "list", "get", "logs", "cancel", "retry", "timeline")
    ),
    *(["hodei.cli.main", "worker", c] for c in ("list", "drain", "revoke")),
    *(["hodei.cli.main", "token", c] for c in ("create", "list", "revoke")),
    *(["hodei.cli.main", "db", c] for c in ("apply", "check")),
]


@pytest.mark.parametrize("program", PROGRAMS, ids=" ".join)
def test_help_shows_an_example(program: list[str]) -> None:
    ran = subprocess.run(
        [sys.executable, "-m", *program, "--help"], capture_output=True, text=True, check=True
    )
    assert "Example" in ran.stdout
    assert "Usage:" in ran.stdout


def test_help_loads_nothing_heavy() -> None:
    code = """import sys
import hodei.cli.main as main
try:
    main.main()
except SystemExit:
    print(sorted(set(sys.modules) & {"grpc", "rich", "psycopg", "google.protobuf"}))
"""
    ran = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=True
    )
    assert ran.stdout.splitlines()[-1] == "[]"


def test_every_flag_of_server_and_worker_comes_from_the_environment_too() -> None:
    from hodei.cli.server import server
    from hodei_worker.cli import worker

    for command in (server, worker):
        for option in command.params:
            assert isinstance(option, click.Option)
            if option.hidden or option.name == "version":
                continue  # hidden: a flag of `hodei` itself, which stands before its commands
            flag = max(option.opts, key=len).removeprefix("--").replace("-", "_").upper()
            names = [option.envvar] if isinstance(option.envvar, str) else list(option.envvar or [])
            assert f"HODEI_{flag}" in names, option.opts
            shown = option.get_help_record(click.Context(command))
            assert shown
            assert ", ".join(names) in " ".join(shown[1].split()), option.opts


@pytest.mark.parametrize(
    "program",
    [
        *("hodei.cli.main", "hodei.cli.server", "hodei_worker"),
        *("hodei.local.demo", "bench", "tests.chaos.attack"),
    ],
)
def test_each_program_says_what_it_is(program: str) -> None:
    """Also those of bin/demo, bin/bench and bin/chaos."""
    for flag, words in (("-h", "sage: "), ("--help", "sage: "), ("--version", ", version ")):
        ran = subprocess.run(
            [sys.executable, "-m", program, flag],
            cwd=TREE,
            capture_output=True,
            text=True,
            check=False,
        )
        assert (ran.returncode, ran.stderr) == (0, "")
        assert words in ran.stdout


def test_flags_of_the_command_line_come_from_the_environment(tmp_path: Path) -> None:
    env = {**os.environ, "HODEI_JOB_LIST_LIMIT": "500000"}
    ran = subprocess.run(
        [sys.executable, "-m", "hodei.cli.main", "job", "list"],
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )
    assert ran.returncode == 2
    assert "--limit: expected a whole number from 1 to 100000, got '500000'" in ran.stderr


def built(folder: Path, **environment: str) -> Path:
    """The wheel of this tree, of a copy without what was built before."""
    source = folder / "source"
    source.mkdir()
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE", "schema.sql"):
        shutil.copy(TREE / name, source)
    for name in ("hodei", "hodei_worker"):
        ignored = shutil.ignore_patterns("*.so", "__pycache__")
        shutil.copytree(TREE / name, source / name, ignore=ignored, symlinks=True)
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*command, "-w", folder, source],
        check=True,
        timeout=120,
        capture_output=True,
        env=os.environ | environment,
    )
    (wheel,) = folder.glob("*.whl")
    return wheel


def installed(wheel: Path, place: Path) -> Path:
    """A virtual environment with nothing but the wheel, and a way to this one's packages; its
    site-packages."""
    venv.create(place, with_pip=False, symlinks=True)
    purelib = next(place.glob("lib/python*/site-packages"))
    here = Path(pytest.__file__).parents[1]
    (purelib / "dependencies.pth").write_text(f"{here}\n")
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index"]
    subprocess.run(
        [*command, "--target", str(purelib), str(wheel)],
        check=True,
        timeout=60,
        capture_output=True,
    )
    return purelib


FAST_PATH = "hodei_worker/supervisor/fast_path.abi3.so"


@pytest.mark.slow
def test_a_wheel_installed_elsewhere_works(tmp_path: Path, database_url: str) -> None:
    """Dependencies are taken from this environment: what is tested is what the wheel holds."""
    wheel = built(tmp_path)
    names = zipfile.ZipFile(wheel).namelist()
    assert {"hodei/py.typed", "hodei_worker/py.typed"} <= set(names)
    held = {name.partition("/")[0] for name in names}
    assert {name for name in held if ".dist-info" not in name} == {"hodei", "hodei_worker"}
    assert (FAST_PATH in names) == CAN_COMPILE
    assert "-cp311-abi3-linux_" in wheel.name, "it is for all Pythons from 3.11 on"
    place = tmp_path / "venv"
    purelib = installed(wheel, place)
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DATABASE_URL": database_url}
    code = (
        "import hodei, hodei_worker, json; "
        "print(json.dumps([hodei.__file__, hodei_worker.__file__]))"
    )
    python = place / "bin/python"
    found = json.loads(
        subprocess.run(
            [python, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, check=True
        ).stdout
    )
    assert all(Path(name).is_relative_to(purelib) for name in found), found
    for program, words in (
        (["hodei.cli.main", "db", "check"], "Schema version 1.6 stands"),
        (["hodei.cli.main", "--version"], "hodei, version"),
        (["hodei_worker", "--help"], "Usage: hodei-worker"),
    ):
        ran = subprocess.run(
            [python, "-m", *program],
            cwd=tmp_path,
            env=env,
            capture_output=True,
            text=True,
            check=False,
        )
        assert words in ran.stdout, ran


@pytest.mark.slow
def test_a_wheel_is_built_without_a_c_compiler(tmp_path: Path) -> None:
    """A worker of it runs jobs: tests/worker has launchers without their fast path."""
    names = zipfile.ZipFile(built(tmp_path, CC="/no/such/compiler")).namelist()
    assert FAST_PATH not in names
    assert "hodei_worker/supervisor/launcher.py" in names


def test_the_other_pythons_are_those_that_run(tmp_path: Path) -> None:
    """A shim in PATH without a version behind it is none, and a Python that runs the suite already
    is not tried again."""
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    other = "3.14" if own == "3.13" else "3.13"
    for name, text in {other: "exit 127", own: f'exec {sys.executable} "$@"'}.items():
        program = tmp_path / f"python{name}"
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    real = tmp_path / "pyenv/versions" / f"{other}.99/bin/python"
    real.parent.mkdir(parents=True)
    env = os.environ | {
        "PATH": f"{tmp_path}:/usr/bin:/bin",
        "PYENV_ROOT": str(tmp_path / "pyenv"),
        "HODEI_VENV": sys.prefix,
    }

    def listed() -> list[str]:
        ran = subprocess.run(
            [TREE / "tools/test-pythons", "--list"],
            capture_output=True,
            text=True,
            env=env,
            check=True,
        )
        return [line for line in ran.stdout.splitlines() if str(tmp_path) in line]

    assert listed() == []
    real.write_text(f"#!/bin/sh\necho {other}.99\n")
    real.chmod(0o755)
    assert listed() == [f"{other}.99 {real}"]
