"""The one sink: forms lines, as text or JSON, and writes those that belong together in one go.

A record is one line, or, with `lines` bound to it, one for each JobLine of that iterable: so the
cost of a record (some 15 µs in loguru, the look-up of a frame and the write) is paid once for many
jobs, and a line costs 3 µs. `say` does that. The iterable is not looked at when nobody wants its
level.
"""

import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, TextIO

from hodei.domain.job_line import JobLine
from hodei.domain.text import shown, shown_json
from hodei.protocol.log.errors import kind_of, message_of, traceback_of
from hodei.protocol.log.stream import Lines

if TYPE_CHECKING:
    from loguru import Logger, Message, Record

__all__ = ["JobLine", "Writer", "say"]

ABOUT = ("correlation_id", "actor", "job_id", "worker_id")

ERROR = "_error"
"""Where a record keeps its exception."""

MOST = 16_000
"""Characters of a message, and of each name behind it; what is beyond is cut and counted."""


class OfThread(threading.local):
    writes = False
    """Whether this thread is in the sink, where loguru takes no second record of it."""


THREAD = OfThread()


def say(log: "Logger", lines: Iterable[JobLine], level: str = "INFO") -> None:
    """As one record, of the part that calls."""
    log.opt(depth=1).bind(lines=lines).log(level, "")


def set_aside(record: "Record") -> None:
    """loguru would put an exception into words before we see it, with all that its chain says."""
    if record["exception"]:
        if record["exception"].value is not None:
            record["extra"][ERROR] = record["exception"].value
        record["exception"] = None


class Writer:
    """Never raises: a log that cannot be written (a full disk, a reader that left) ends nothing."""

    def __init__(self, stream: TextIO | None, *, as_json: bool) -> None:
        self._lines = Lines(stream)
        self._form: Callable[[Record], str] = json_lines if as_json else text_lines

    def __call__(self, message: "Message") -> None:
        THREAD.writes = True
        try:
            self._lines.write(self._formed(message.record))
        finally:
            THREAD.writes = False

    def _formed(self, record: "Record") -> str:
        try:
            return self._form(record)
        except Exception as error:  # noqa: BLE001  said in place of the line, by its kind alone
            record["message"] = f"a log line could not be written down: {kind_of(error)}"
            record["extra"] = {}
            return self._form(record)


def cut(text: str) -> str:
    return text if len(text) <= MOST else f"{text[:MOST]}… ({len(text) - MOST} more characters)"


# ── text ──


def text_lines(record: "Record") -> str:
    extra, time = record["extra"], record["time"]
    clock = f"{time:%Y-%m-%dT%H:%M:%S}.{time.microsecond // 1000:03d}{time:%z}"
    head = f"{clock} {record['level'].name:<7} "
    if "component" in extra:
        head += f"{shown(cut(str(extra['component'])))}: "
    if "lines" in extra:
        worker_id = extra.get("worker_id")
        return "".join([_text_of_job(head, line, worker_id) for line in extra["lines"]])
    tail = "".join([f" {key}={shown(cut(str(extra[key])))}" for key in ABOUT if key in extra])
    text = f"{head}{shown(cut(record['message']))}{tail}\n"
    if ERROR in extra:
        text += f"{traceback_of(extra[ERROR])}\n"
    return text


def _text_of_job(head: str, line: JobLine, our_worker: str | None) -> str:
    message, correlation_id, actor, job_id, worker_id = line
    worker_id = worker_id or our_worker
    ending = f" worker_id={worker_id}" if worker_id else ""
    text = f"{message} correlation_id={correlation_id} actor={actor} job_id={job_id}{ending}"
    if len(text) <= MOST and text.isprintable():  # nearly always
        return f"{head}{text}\n"
    about = f"correlation_id={cut(correlation_id)} actor={cut(actor)} job_id={cut(str(job_id))}"
    return f"{head}{shown(f'{cut(message)} {about}{cut(ending)}')}\n"


# ── JSON ──


def json_lines(record: "Record") -> str:
    return "".join([f"{_dumped(line)}\n" for line in _objects(record)])


def _objects(record: "Record") -> Iterator[dict[str, Any]]:
    extra = record["extra"]
    line: dict[str, Any] = {
        "time": record["time"].isoformat(),
        "level": record["level"].name.lower(),
        "part": record["name"],
    }
    if "component" in extra:
        line["component"] = cut(str(extra["component"]))
    apart = ("lines", "component", ERROR)
    names = {key: str(value) for key, value in extra.items() if key not in apart}
    said = [job_line._asdict() for job_line in extra["lines"]] if "lines" in extra else [{}]
    for one in said:
        told = {"message": record["message"]} | names | one
        yield line | {k: cut(str(v)) for k, v in told.items() if v is not None} | _exception(extra)


def _exception(extra: dict[str, Any]) -> dict[str, Any]:
    if ERROR not in extra:
        return {}
    error = extra[ERROR]
    told = {"type": kind_of(error), "message": message_of(error), "traceback": traceback_of(error)}
    return {"exception": told}


def _dumped(line: dict[str, Any]) -> str:
    return shown_json(json.dumps(line, ensure_ascii=False))
