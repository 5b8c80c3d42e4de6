"""How certificates are shown to people."""

from datetime import datetime

MOST_NAMES = 10
"""Names of a certificate that are shown."""


def utc(moment: datetime) -> str:
    """A moment, which is one of UTC."""
    return moment.strftime("%Y-%m-%d %H:%M:%SZ")
