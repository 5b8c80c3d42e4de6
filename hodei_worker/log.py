"""The set-up of a worker's log. Each line carries the worker's id; hodei/protocol/log has the part
that servers share."""

from hodei.protocol.log import setup
from hodei.protocol.log.setup import last_words
from hodei_worker.config import BadSetting

__all__ = ["configure", "last_words"]


def configure(level: str, log_format: str, parts: str, worker_id: str) -> None:
    """Raises BadSetting for a level or a part that does not exist."""
    try:
        setup.configure(level, log_format, parts, worker_id=worker_id)
    except ValueError as error:
        raise BadSetting(str(error)) from None
