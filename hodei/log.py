"""Log lines for people and for grep: loguru, to stderr, as text or JSON; levels for each part from HODEI_LOG.

A line about a job ends `correlation_id=… actor=… job_id=… worker_id=…`, in this order, so that the guide's greps by any of them find it.
"""

import json
import sys
from typing import TYPE_CHECKING, cast

from loguru import logger

from hodei.domain.errors import Invalid

if TYPE_CHECKING:
    from loguru import FilterDict, Record

LEVELS = ("trace", "debug", "info", "success", "warning", "error", "critical")
ABOUT = ("correlation_id", "actor", "job_id", "worker_id")


def configure(level: str, log_format: str, parts: str = "") -> None:
    """`parts`: as HODEI_LOG, "info,hodei.flow=debug"; a bare level in it replaces `level`. Invalid names what is wrong."""
    levels: dict[str | None, str] = {"": _level(level)}
    for part in filter(None, (p.strip() for p in parts.split(","))):
        name, separator, value = part.rpartition("=")
        levels[name if separator else ""] = _level(value)
    logger.remove()
    logger.add(
        sys.stderr,
        level=min(logger.level(name).no for name in levels.values()),  # what no part wants costs next to nothing
        filter=cast("FilterDict", levels),
        format=_json_line if log_format == "json" else _text_line,
        colorize=False,
        backtrace=False,
        diagnose=False,  # would print the values of variables, secrets among them
    )


def _level(name: str) -> str:
    if name.lower() not in LEVELS:
        raise Invalid(f"log level: expected one of {', '.join(LEVELS)}, got {name!r}")
    return name.upper()


def _text_line(record: "Record") -> str:
    extra = record["extra"]
    record["extra"]["_about"] = "".join(f" {key}={extra[key]}" for key in ABOUT if key in extra)
    component = "{extra[component]}: " if "component" in extra else ""
    return "{time:YYYY-MM-DDTHH:mm:ss.SSSZZ} {level:<7} " + component + "{message}{extra[_about]}\n{exception}"


def _json_line(record: "Record") -> str:
    line = {
        "time": record["time"].isoformat(),
        "level": record["level"].name.lower(),
        "part": record["name"],
        "message": record["message"],
        **{key: str(value) for key, value in record["extra"].items() if not key.startswith("_")},
    }
    if record["exception"]:
        line["exception"] = repr(record["exception"].value)
    record["extra"]["_line"] = json.dumps(line, ensure_ascii=False)
    return "{extra[_line]}\n"
