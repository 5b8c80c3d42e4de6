"""What lines look like, as text and as JSON, with the worst that others may put into them."""

import ast
import asyncio
import io
import json
import logging
import re
import subprocess
import sys
import threading
import uuid
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest
from loguru import logger

from hodei import log as server_log
from hodei.domain.errors import Invalid, Unavailable
from hodei.domain.job_line import JobLine
from hodei.flow import job_lines
from hodei.protocol.log.setup import LEVELS
from hodei.protocol.log.writer import MOST
from hodei_worker import log as worker_log
from hodei_worker.config import BadSetting
from tests.conftest import TREE, Connection

NASTY = [
    "x\nforged line job_id=1",
    "\x1b]0;title\x07\x1b[31m",
    "\x9b31mred\x7f",
    "a\u2028b\u2029c\x85d\r\n",
    "\u202egnp.exe",
    "half \ud83d of a pair",
    '"quoted" {braces} <red> %s \\n',
    "NUL \x00",
    "🚀 東京 é",
    "",
    "x" * 100_000,
]
HEAD = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d{4} (TRACE|DEBUG|INFO|SUCCESS|WARNING|ERROR|CRITICAL) *"
)

Written = Callable[[], str]
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


def say_nasty() -> int:
    """Through every way that lines have; how many lines that makes."""
    for text in NASTY:
        logger.info("{}", text)
        logger.bind(correlation_id=text, actor=text, job_id=uuid.uuid4(), component=text).warning(
            "m"
        )
        logging.getLogger("somebody.else").warning("they say %s", text)
        logging.getLogger("somebody.else").error("they say %r", ValueError(text))
    job_lines.say(logger, (JobLine(text, text, text, uuid.uuid4(), text or None) for text in NASTY))
    return 5 * len(NASTY)


def test_text_lines_are_lines_whatever_is_in_them(stderr: Stderr, configure: Program) -> None:
    configure("text")
    number = say_nasty()
    lines = lines_of(stderr.text())
    assert len(lines) == number
    for line in lines:
        assert HEAD.match(line), line
        assert len(line) < 5 * MOST
    assert "x\\nforged line job_id=1" in lines[0]
    assert any("\\x1b]0;title\\x07\\x1b[31m" in line for line in lines)
    assert any("\\U0001f680 \\u6771\\u4eac é" in line for line in lines), "as this locale can"


def test_json_lines_are_json_whatever_is_in_them(stderr: Stderr, configure: Program) -> None:
    configure("json")
    number = say_nasty()
    said = [json.loads(line) for line in lines_of(stderr.text())]
    assert len(said) == number
    assert {"time", "level", "message", "part"} <= set(said[0])
    assert said[0]["message"] == NASTY[0], "the value itself is not changed"
    assert any(line["message"] == "🚀 東京 é" for line in said)
    assert said[1]["correlation_id"] == NASTY[0]


def test_a_batch_is_one_line_for_each_job_with_its_names_in_order(
    stderr: Stderr, configure: Program
) -> None:
    configure("text")
    job, worker = uuid.uuid4(), uuid.uuid4()
    batch = [JobLine(f"m{n}", "c", "a", job, worker) for n in range(3)]
    job_lines.say(logger.bind(component="JobController"), batch)
    lines = lines_of(stderr.text())
    ending = f"correlation_id=c actor=a job_id={job} worker_id={worker}"
    assert [line.partition("INFO    ")[2] for line in lines] == [
        f"JobController: m{n} {ending}" for n in range(3)
    ]


def test_a_batch_that_nobody_wants_is_not_looked_at(stderr: Stderr, configure: Program) -> None:
    configure("text", "success")

    def never() -> Iterator[JobLine]:
        raise AssertionError
        yield

    job_lines.say(logger, never())
    assert stderr.text() == ""


def test_levels_for_parts_hold_for_batches_and_for_the_lines_of_libraries(
    stderr: Stderr, configure: Program
) -> None:
    line = JobLine("m", "c", "a", "j")
    configure("text", f"warning,{__name__}=info,somebody=debug")
    job_lines.say(logger, [line])
    logging.getLogger("somebody.else").debug("detail")
    logging.getLogger("another").info("not wanted")
    logging.getLogger("another").warning("wanted")
    lines = lines_of(stderr.text())
    wanted = ("m correlation_id=c", "somebody.else: detail", "another: wanted")
    assert [words in line for words, line in zip(wanted, lines, strict=True)] == [True] * 3


def test_a_level_that_is_none_is_refused(stderr: Stderr) -> None:
    with pytest.raises(Invalid, match="log level: expected one of"):
        server_log.configure("loud", "text")
    with pytest.raises(BadSetting, match="log level: expected one of"):
        worker_log.configure("info", "text", "hodei=loud", "w")


def test_a_pool_that_replaces_a_connection_is_no_alarm(stderr: Stderr, configure: Program) -> None:
    configure("json")
    logging.getLogger("psycopg.pool").warning("discarding closed connection: %s", "c")
    logging.getLogger("psycopg.pool").error("lost")
    said = [json.loads(line) for line in lines_of(stderr.text())]
    assert [(line["part"], line["level"]) for line in said] == [
        ("psycopg.pool", "info"),
        ("psycopg.pool", "error"),
    ]


# ── errors ──


SECRET = "S3CRET-of-a-row"


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


def test_a_log_that_cannot_be_written_ends_nothing(
    stderr: Stderr, configure: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    configure("text")

    def full(_: str) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(stderr, "write", full)
    logger.info("lost")
    monkeypatch.undo()


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


# ── others ──


def test_the_interpreters_own_words_are_lines_too(stderr: Stderr, configure: Program) -> None:
    configure("json")

    class Bad:
        def __del__(self) -> None:
            raise ValueError("in the end")

    def fail() -> None:
        raise ValueError("in a thread")

    def callback(secret: str) -> None:
        raise ValueError("in a callback")

    async def main() -> None:
        asyncio.get_running_loop().call_soon(callback, SECRET)
        task = asyncio.get_running_loop().create_task(asyncio.sleep(3600, SECRET))
        asyncio.get_running_loop().call_exception_handler(
            {"message": "odd\nfuture: " + SECRET, "task": task}
        )
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()
    bad: Any = Bad()
    del bad
    asyncio.run(main())
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logging.captureWarnings(True)
        warnings.warn("old\nways", DeprecationWarning, stacklevel=1)
    sys.excepthook(ValueError, ValueError("at the end"), None)
    text = stderr.text()
    said = [json.loads(line) for line in lines_of(text)]
    assert SECRET not in text
    told = [line.get("exception", {}).get("message") or line["message"] for line in said]
    for words in ("in a thread", "in the end", "in a callback", "odd", "at the end"):
        assert words in told, told
    assert any(
        "old\nways" in line["message"] and line["component"] == "py.warnings" for line in said
    )


DYING = """
import asyncio, gc
from {package} import log
log.configure({arguments})
async def forgotten():
    raise KeyError("of a task that nobody awaits")
async def main():
    asyncio.get_running_loop().create_task(forgotten())
    await asyncio.sleep(0.01)
    gc.collect()
    raise ExceptionGroup("several", [ValueError("a\\nb"), OSError(5, "x")])
asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("package", "arguments"),
    [("hodei", "'info', 'json'"), ("hodei_worker", "'info', 'json', '', 'w-1'")],
)
def test_a_real_process_that_dies_leaves_nothing_but_lines(package: str, arguments: str) -> None:
    program = DYING.replace("{package}", package).replace("{arguments}", arguments)
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    said = [json.loads(line) for line in lines_of(ran.stderr)]
    assert ran.stdout == ""
    assert {line["exception"]["type"] for line in said} == {"KeyError", "ExceptionGroup"}
    assert said[-1]["level"] in ("critical", "error")
