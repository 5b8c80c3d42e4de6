"""The servers that a client may ask, and in which order it tries them.

There is no I/O here: both clients ask the same questions of a Tries, and wait in their own ways."""

import random
import time
from collections.abc import Sequence
from typing import NamedTuple

from hodei.client.errors import PASSING, TimedOut, error_of, was_not_done
from hodei.client.python_words import for_python
from hodei.domain.errors import HodeiError, Invalid, Unavailable
from hodei.domain.text import shown
from hodei.tls.address import BadAddress, parse_each
from hodei.tls.grpc_words import was_not_sent

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 1.0
"""Seconds after the servers have all been tried once; they double with each further round."""


LONGEST_WORDS = 1000
"""Characters of an error that quotes what was given."""


class Servers:
    """The addresses, and the place among them of the one that answered last."""

    def __init__(self, given: str | Sequence[str], *, tls: bool = False) -> None:
        """Takes HOST:PORT[,HOST:PORT…] or a list of HOST:PORT, each with https:// before it where
        the connection is to have TLS; with `tls` that need not be said. Invalid: it is neither."""
        parts = given.split(",") if isinstance(given, str) else given
        if not isinstance(parts, Sequence):
            raise Invalid(f"servers: expected HOST:PORT[,HOST:PORT…], got {given!r}")
        try:
            self.addresses = parse_each(parts, given, tls=tls)
        except BadAddress as error:
            raise Invalid(shown(f"servers: {for_python(str(error))}"[:LONGEST_WORDS])) from None
        self.current = 0

    def __str__(self) -> str:
        return ", ".join(map(str, self.addresses))


class Try(NamedTuple):
    """One server, by its place among the addresses, and the seconds that it has to answer."""

    place: int
    seconds: float


class Tries:
    """The tries of one call within `seconds`. Each server in turn has an equal part of what is
    left, so that one that hangs leaves time for the others."""

    def __init__(self, servers: Servers, seconds: float) -> None:
        self._servers = servers
        self._seconds = seconds
        self._first = servers.current
        self._number = 0
        self._pause = FIRST_PAUSE_S
        self.reset()
        self.may_be_done = False  # a try that failed may have reached a server
        self.unconnected: dict[int, str] = {}  # gRPC's words, by the place of each such server
        self.unanswered = False  # it was given up, as there was no connection

    def reset(self, pause: float = 0.0) -> None:
        """Gives the call all of its time again, after a pause, as a server has answered."""
        self._deadline = time.monotonic() + pause + self._seconds

    def next(self) -> Try:
        """The next try."""
        count = len(self._servers.addresses)
        left_in_round = count - self._number % count
        place = (self._first + self._number) % count
        return Try(place, max(0.001, self._left() / left_in_round))

    def succeeded(self) -> None:
        """The server has answered: the next call begins with it."""
        count = len(self._servers.addresses)
        self._servers.current = (self._first + self._number) % count

    def pass_over(self, pause: float) -> float:
        """The server has answered: the next try is at another one, after `pause` seconds, with all of
        the time again. Returns the pause."""
        self.reset(pause)
        self._number += 1
        return pause

    def failed(self, status: str, words: str, *, only_asked: bool = False) -> float:
        """Returns the seconds to wait before the next try. HodeiError: there is none, because the
        server refused the call, or its time has passed. `only_asked`: the try changes nothing."""
        if status not in PASSING:
            self.succeeded()
            raise error_of(status, words)
        if not only_asked and not was_not_done(status, words):
            self.may_be_done = True
        if was_not_sent(words):
            place = (self._first + self._number) % len(self._servers.addresses)
            self.unconnected[place] = words
        self._number += 1
        pause = 0.0
        if self._number % len(self._servers.addresses) == 0:
            pause = self._pause * random.uniform(0.5, 1)  # noqa: S311  spreads clients, no secret
            self._pause = min(2 * self._pause, LONGEST_PAUSE_S)
        if self._left() <= pause:
            raise self._given_up(status, words)
        return pause

    def _left(self) -> float:
        return self._deadline - time.monotonic()

    def _given_up(self, status: str, words: str) -> HodeiError:
        """The error of the last try, and which servers were tried."""
        if was_not_sent(words):
            self.unanswered = True
            return Unavailable(f"no server answers at {self._servers} within {self._seconds:g} s")
        if status == "DEADLINE_EXCEEDED":
            return TimedOut(f"no answer from {self._servers} within {self._seconds:g} s")
        error = error_of(status, words)
        return type(error)(f"{error} (tried {self._servers} for {self._seconds:g} s)")
