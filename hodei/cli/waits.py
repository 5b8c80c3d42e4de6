"""Why a job waits: the words of a server, with their time as tables show it."""

import re

from hodei.cli import show

_ENDS_WITH_TIME = re.compile(r"(its time, |until )(\S+)$")


def waits_for(words: str | None) -> str:
    """The words for people; empty for None. A server says a time in UTC: `its time, …`, or `…, until
    …`."""
    return _ENDS_WITH_TIME.sub(lambda found: found[1] + show.clock_of(found[2]), words or "")
