"""Log lines for people and for grep. Every line says which worker; a line about a job ends with the four names in the guide's order."""

import json
import sys
from typing import TYPE_CHECKING, cast

from loguru import logger

from hodei_worker.config import BadSetting

if TYPE_CHECKING:
    from loguru import FilterDict, Record

LEVELS = ("trace", "debug", "info", "success", "warning", "error", "critical")
ABOUT = ("correlation_id", "actor", "job_id", "worker_id")


def configure(level: str, log_format: str, parts: str, worker_id: str) -> None:
    """`parts`: as HODEI_LOG, "info,hodei_worker.session=debug"; a bare level in it replaces `level`."""
    levels: dict[str | None, str] = {"": _level(level)}
    for part in filter(None, (p.strip() for p in parts.split(","))):
        name, separator, value = part.rpartition("=")
        levels[name if separator else ""] = _level(value)
    logger.remove()
    logger.configure(extra={"worker_id": worker_id})
    line = _json_line if log_format == "json" else _text_line
    lowest = min(logger.level(name).no for name in levels.values())  # what no part wants costs next to nothing
    logger.add(sys.stderr, level=lowest, filter=cast("FilterDict", levels), format=line, colorize=False, backtrace=False, diagnose=False)


def _level(name: str) -> str:
    if name.lower() not in LEVELS:
        raise BadSetting(f"log level: expected one of {', '.join(LEVELS)}, got {name!r}")
    return name.upper()


def _text_line(record: "Record") -> str:
    extra = record["extra"]
    extra["_about"] = "".join(f" {key}={extra[key]}" for key in ABOUT if key in extra)
    return "{time:YYYY-MM-DDTHH:mm:ss.SSSZZ} {level:<7} {message}{extra[_about]}\n{exception}"


def _json_line(record: "Record") -> str:
    about = {key: str(value) for key, value in record["extra"].items() if not key.startswith("_")}
    line = {"time": record["time"].isoformat(), "level": record["level"].name.lower(), "message": record["message"], **about}
    record["extra"]["_line"] = json.dumps(line, ensure_ascii=False)
    return "{extra[_line]}\n{exception}"
