"""What lines look like, as text and as JSON, with the worst that others may put into them."""

import asyncio
import json
import logging
import re
import subprocess
import sys
import threading
import uuid
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from grpc.aio import InternalError
from loguru import logger

from hodei import log as server_log
from hodei.domain.errors import Invalid
from hodei.domain.job_line import JobLine
from hodei.flow import job_lines
from hodei.protocol.log.others import NOT_SENT
from hodei.protocol.log.writer import MOST
from hodei_worker import log as worker_log
from hodei_worker.config import BadSetting
from tests.eventually import eventually
from tests.log.conftest import SECRET, Program, Stderr, lines_of

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


@pytest.mark.parametrize(
    ("parts", "said"), [("", ["error"]), ("info,psycopg.pool=debug", ["debug", "error"])]
)
def test_a_pool_that_replaces_a_connection_is_no_alarm(
    parts: str, said: list[str], stderr: Stderr, configure: Program
) -> None:
    configure("json", parts)
    logging.getLogger("psycopg.pool").warning("discarding closed connection: %s", "c")
    logging.getLogger("psycopg.pool").error("lost")
    logging.getLogger("psycopg.pool").setLevel(logging.NOTSET)
    lines = [json.loads(line) for line in lines_of(stderr.text())]
    assert {line["part"] for line in lines} == {"psycopg.pool"}
    assert [line["level"] for line in lines] == said


@pytest.mark.parametrize(("parts", "said"), [("", []), ("debug", [("debug", False)])])
def test_a_client_that_leaves_before_its_answer_is_no_alarm(
    parts: str, said: list[tuple[str, bool]], stderr: Stderr, configure: Program
) -> None:
    configure("json", parts)
    (not_sent,) = (kind for kind in InternalError.__subclasses__() if kind.__name__ == NOT_SENT)
    try:
        raise not_sent("Failed")
    except InternalError:
        logging.getLogger("grpc._cython.cygrpc").exception("raised in core by servicer method")
    lines = [json.loads(line) for line in stderr.text().splitlines()]
    assert [(line["level"], "Traceback" in str(line)) for line in lines] == said


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


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_what_is_said_while_a_line_is_formed_is_a_line_too(
    log_format: str, stderr: Stderr, configure: Program
) -> None:
    """As garbage is that is collected then."""

    class Garbage:
        def __del__(self) -> None:
            logging.getLogger("somebody.else").warning("they say so")
            raise ValueError("in the end")

    class Name:
        def __str__(self) -> str:
            Garbage()
            return "n"

    configure(log_format)
    logger.bind(actor=Name()).info("m")
    eventually(lambda: stderr.text().count("in the end") and stderr.text().count("they say so"))
    if log_format == "json":
        said = [json.loads(line) for line in lines_of(stderr.text())]
        told = {line.get("exception", {}).get("message") or line["message"] for line in said}
        assert {"m", "in the end", "they say so"} <= told
    assert "Loguru" not in stderr.text()


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
