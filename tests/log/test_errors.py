"""Errors in lines: what PostgreSQL quotes is never told, values of variables neither, and an error
that cannot be told ends nothing."""

import ast
import io
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from loguru import logger

from hodei import log as server_log
from hodei.domain.errors import Invalid, Unavailable
from hodei.protocol.log.setup import LEVELS
from tests.conftest import TREE, Connection
from tests.log.conftest import SECRET, Program, Stderr, lines_of


def driver_error(db: Connection) -> psycopg.Error:
    """What it says has the row in it."""
    db.execute("CREATE TABLE t (env text, CHECK (env = ''))")
    try:
        db.execute("INSERT INTO t VALUES (%s)", [SECRET])
    except psycopg.Error as error:
        return error
    raise AssertionError


def wrapped(error: Exception) -> list[BaseException]:
    """As cause, as context, in a group, in a group in a cause."""

    def raised(make: Callable[[], Any]) -> BaseException:
        try:
            make()
        except BaseException as made:  # noqa: BLE001
            return made
        raise AssertionError

    def from_it() -> None:
        raise Unavailable("not now") from error

    def during_it() -> None:
        try:
            raise error
        except psycopg.Error:
            raise KeyError("x")  # noqa: B904

    def in_group() -> None:
        raise ExceptionGroup("several", [ValueError("v"), ExceptionGroup("inner", [error])])

    def deep() -> None:
        raise RuntimeError("far away") from raised(in_group)

    return [error, *map(raised, (from_it, during_it, in_group, deep))]


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_postgresql_quotes_is_never_told(
    stderr: Stderr, configure: Program, db: Connection, log_format: str
) -> None:
    configure(log_format)
    error = driver_error(db)
    assert SECRET in str(error), "else this tests nothing"
    for outer in wrapped(error):
        before = stderr.text()
        logger.opt(exception=outer).error("a fault")
        said = stderr.text()[len(before) :]
        assert "psycopg.errors.CheckViolation" in said
        assert "SQLSTATE 23514" in said
        logging.getLogger("psycopg.pool").warning("error connecting in %r: %s", "pool-1", outer)
        sys.excepthook(type(outer), outer, outer.__traceback__)
    logging.getLogger("x").exception("no exception at all")
    text = stderr.text()
    assert SECRET not in text
    assert "DETAIL" not in text
    if log_format == "json":
        for line in lines_of(text):
            told = json.loads(line).get("exception")
            assert told is None or set(told) == {"type", "message", "traceback"}


def test_a_traceback_names_our_lines_and_no_values(stderr: Stderr, configure: Program) -> None:
    configure("text")
    secret = SECRET  # noqa: F841  a variable of a frame
    try:
        from hodei.domain.spec import normalise

        normalise("\x1b[31m\nforged")
    except Invalid:
        logger.exception("a fault")
    text = stderr.text()
    assert 'File "hodei/domain/spec.py", line' in text
    assert "hodei.domain.errors.Invalid: " in text
    assert SECRET not in text
    assert "\x1b" not in text


def test_an_endless_chain_or_recursion_is_bounded(stderr: Stderr, configure: Program) -> None:
    configure("json")

    def deeper() -> None:
        deeper()

    with pytest.raises(RecursionError) as endless:
        deeper()
    first, second = ValueError("a" * 100_000), ValueError("b")
    first.__context__, second.__context__ = second, first
    chain: BaseException = ValueError("0")
    for number in range(1000):
        outer = ValueError(str(number))
        outer.__cause__ = chain
        chain = outer
    wide = ExceptionGroup("wide", [ValueError(str(n)) for n in range(10_000)])
    for error in (endless.value, first, chain, wide):
        logger.opt(exception=error).error("a fault")
    lines = lines_of(stderr.text())
    assert [json.loads(line)["message"] for line in lines] == ["a fault"] * 4
    assert max(map(len, lines)) < 30_000


class Speechless(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_what_cannot_be_said_is_still_told_by_its_kind(
    stderr: Stderr, configure: Program, log_format: str
) -> None:
    configure(log_format)
    logger.opt(exception=Speechless()).error("a fault")
    logger.bind(correlation_id=Speechless()).error("a line")
    logging.getLogger("x").error("%d", "no number")
    lines = lines_of(stderr.text())
    assert "Speechless" in stderr.text()
    assert "could not be written down" in stderr.text()
    if log_format == "json":
        assert [json.loads(line)["level"] for line in lines] == ["error"] * 3


class Disk(io.RawIOBase):
    """Has room for so many bytes."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.kept = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        taken = bytes(data)[: self.room]
        if not taken:
            raise OSError(28, "No space left on device")
        self.room -= len(taken)
        self.kept += taken
        return len(taken)


@pytest.mark.usefixtures("stderr")
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_a_full_disk_ends_nothing_and_joins_no_lines(
    monkeypatch: pytest.MonkeyPatch, log_format: str
) -> None:
    disk = Disk(1000)
    full = io.TextIOWrapper(io.BufferedWriter(disk), "utf-8", line_buffering=True)
    monkeypatch.setattr(sys, "stderr", full)
    server_log.configure("info", log_format)
    for _ in range(3):
        logger.info("lost {}", "x" * 9000)  # more than the interpreter's buffer holds
    assert disk.room == 0
    disk.room = 10_000
    for number in range(3):
        logger.info("line {}", number)
    cut, first, second, third, end = disk.kept.decode().split("\n")
    assert len(cut) == 1000
    for number, line in enumerate((first, second, third)):
        assert f"line {number}" in line
        assert log_format == "text" or json.loads(line)
    assert end == ""


@pytest.mark.usefixtures("stderr")
def test_without_a_standard_error_nothing_is_said_and_nothing_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    server_log.configure("info", "json")
    logger.info("lost")


def caught_and_logged() -> Iterator[str]:
    """Places where what PostgreSQL may have raised is put into a line as it is."""
    for path in sorted((TREE / "hodei").rglob("*.py")):
        for handler in ast.walk(ast.parse(path.read_text())):
            if not isinstance(handler, ast.ExceptHandler) or handler.type is None:
                continue
            if not {"TROUBLE", "psycopg", "Exception"} & set(
                re.findall(r"\w+", ast.unparse(handler.type))
            ):
                continue
            for call in ast.walk(handler):
                if (
                    isinstance(call, ast.Call)
                    and isinstance(call.func, ast.Attribute)
                    and call.func.attr in LEVELS
                ):
                    said = [ast.unparse(argument) for argument in call.args]
                    if {handler.name, f"str({handler.name})", f"repr({handler.name})"} & set(said):
                        yield f"{path.relative_to(TREE)}:{call.lineno}"


def test_errors_of_the_database_are_put_into_words_before_they_are_logged() -> None:
    assert list(caught_and_logged()) == [], "hodei.domain.text.words_of tells no DETAIL"
