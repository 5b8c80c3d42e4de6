"""How our own programs are started by one of us: they import nothing from the folder that happens to
be the current one, where a `queue.py` may lie."""

import os
import sys
from pathlib import Path

import hodei


def command(*argv: str) -> list[str]:
    """`-m MODULE …` of this interpreter."""
    return [sys.executable, "-P", "-m", *argv]


def environment() -> dict[str, str]:
    """What the command needs to find us: of PYTHONPATH what does not depend on the current folder;
    and our sources, where they were found only because Python looks there first (`python -m` in a
    checkout)."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    found = [path for path in given if os.path.isabs(path)]  # noqa: PTH117
    sources = str(Path(hodei.__file__).resolve().parents[1])
    if not sys.flags.safe_path and sys.path and os.path.realpath(sys.path[0]) == sources:
        found.append(sources)
    return {"PYTHONPATH": os.pathsep.join(found)}
