"""A program's log, caught as it would stand on its standard error."""

import io
import logging
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from loguru import logger

from hodei import log as server_log
from hodei_worker import log as worker_log

Program = Callable[..., None]


class Stderr(io.TextIOWrapper):
    """As the interpreter's, of a Latin-1 locale: JSON must be UTF-8 all the same."""

    def __init__(self) -> None:
        super().__init__(
            io.BytesIO(), encoding="latin-1", errors="backslashreplace", line_buffering=True
        )

    def text(self) -> str:
        self.flush()
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode(self.encoding)


@pytest.fixture
def stderr(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stderr]:
    """Everything that `configure` changes is as before afterwards."""
    fake = Stderr()
    for module, name in ((sys, "excepthook"), (sys, "unraisablehook"), (threading, "excepthook")):
        monkeypatch.setattr(module, name, getattr(module, name))
    monkeypatch.setattr(logging.root, "handlers", logging.root.handlers)
    level = logging.root.level
    yield fake
    logging.root.setLevel(level)
    logging.captureWarnings(False)
    logger.remove()
    logger.configure(extra={}, patcher=lambda _: None)


@pytest.fixture(params=["server", "worker"])
def configure(
    request: pytest.FixtureRequest, stderr: Stderr, monkeypatch: pytest.MonkeyPatch
) -> Program:
    """Either program's configuration: (format, HODEI_LOG)."""

    def apply(log_format: str, parts: str = "") -> None:
        monkeypatch.setattr(sys, "stderr", stderr)  # here: pytest sets its own before each test
        if request.param == "server":
            server_log.configure("info", log_format, parts)
        else:
            worker_log.configure("info", log_format, parts, "w-1")

    return apply


def lines_of(text: str) -> list[str]:
    """Each ends with a newline and holds nothing that ends a line elsewhere, or that a terminal
    obeys."""
    assert text.endswith("\n")
    lines = text[:-1].split("\n")
    for line in lines:
        assert len(line.splitlines()) <= 1
        assert line.isprintable() or "\xa0" in line, line
    return lines


SECRET = "S3CRET-of-a-row"
