"""A server's log (hodei/protocol/log has all that workers share)."""

from hodei.domain.errors import Invalid
from hodei.protocol.log import setup
from hodei.protocol.log.setup import last_words

__all__ = ["configure", "last_words"]


def configure(level: str, log_format: str, parts: str = "") -> None:
    """Invalid names what is wrong."""
    try:
        setup.configure(level, log_format, parts)
    except ValueError as error:
        raise Invalid(str(error)) from None
