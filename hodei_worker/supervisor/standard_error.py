"""The supervisor's standard error, which is a file in the worker's state folder."""

import io
import sys
from typing import Any


class _Forgiving(io.FileIO):
    """Loses what cannot be written. Else a full disk would raise in the middle of a step that only
    wanted to say something."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError:
            return len(memoryview(data))


def forgive() -> None:
    """Lets no write to standard error raise from now on."""
    raw = _Forgiving(sys.stderr.fileno(), "wb", closefd=False)
    sys.stderr = io.TextIOWrapper(
        io.BufferedWriter(raw), "utf-8", "backslashreplace", line_buffering=True
    )
