"""A worker's log: every line says which worker (hodei/protocol/log has all that servers share)."""

from hodei.protocol.log import setup
from hodei.protocol.log.setup import last_words
from hodei_worker.config import BadSetting

__all__ = ["configure", "last_words"]


def configure(level: str, log_format: str, parts: str, worker_id: str) -> None:
    """BadSetting names what is wrong."""
    try:
        setup.configure(level, log_format, parts, worker_id=worker_id)
    except ValueError as error:
        raise BadSetting(str(error)) from None
