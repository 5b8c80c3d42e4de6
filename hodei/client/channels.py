"""What both clients have beside their verbs: settings, and a channel to each server."""

import getpass
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hodei.client.errors import Closed
from hodei.client.python_words import for_python
from hodei.client.servers import Servers, Tries
from hodei.domain.errors import Invalid, Unavailable
from hodei.domain.text import shown
from hodei.protocol import grpc_lines
from hodei.tls.address import Address
from hodei.tls.bad import BadTls
from hodei.tls.caller import Tls, from_environment, stamp

ADDRESS = "127.0.0.1:50051"
"""Where servers are looked for, unless a client or HODEI_SERVER_ADDRESS says otherwise."""

CALL_S = 10.0
"""Seconds within which a call is answered, with all of its tries, unless a client says otherwise."""

LONGEST_S = 31_536_000.0
"""Seconds that a call may take at most, a year: gRPC's clock has no place for much more."""

DIAGNOSE_S = 1.0
"""Seconds for each step of a connection that finds out why no server answers."""

MOST_DIAGNOSED = 3
"""Servers that are looked at for one call."""

OPTIONS = [
    ("grpc.max_receive_message_length", 8 << 20),
    # A server whose host is gone is found within 30 s, also while a log is quiet.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # gRPC would wait up to two minutes before it looks again at a server that was away.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 5_000),  # also the longest time of one connect
    ("grpc.max_reconnect_backoff_ms", 1_000),
]


class Channels:
    """A stub for each server, opened when it is first used. `open_channel` makes gRPC's channel.

    Any number of threads may use it."""

    def __init__(
        self,
        servers: str | Sequence[str] | None,
        actor: str | None,
        call_timeout: float,
        tls: Tls | None,
        open_channel: Callable[[Address, Tls], Any],
        key: str | None = None,
    ) -> None:
        """Without `tls` the environment says it. Invalid: a setting is not as expected."""
        if "grpc" not in sys.modules:  # its core would write raw lines to standard error
            grpc_lines.silence(also_asked_for=False)
        given = _from_environment(os.environ) if servers is None else servers
        self.servers = Servers(given, tls=tls is None and bool(os.environ.get("HODEI_TLS")))
        self._tls = from_environment(os.environ) if tls is None else _checked_tls(tls)
        with _in_words_of_python():
            self._tls.check(self.servers.addresses)
        self.metadata = (
            ("hodei-actor", f"python:{_name(actor)}"),
            *_key_for(self.servers.addresses, key),
        )
        self.call_timeout = checked_seconds(call_timeout, "call_timeout")
        self._open_channel = open_channel
        self._opened: dict[int, tuple[Any, Any]] = {}  # channel and stub, by the server's place
        self._former: list[Any] = []  # channels
        self._stamp = stamp(self._tls)  # of the files that the channels were opened with
        self._one_at_a_time = threading.Lock()
        self._process = os.getpid()
        self.closed = False

    def tries(self, call_timeout: float | None) -> Tries:
        """The tries of one call. Invalid: `call_timeout` is not a number of seconds above 0."""
        if call_timeout is None:
            return Tries(self.servers, self.call_timeout)
        return Tries(self.servers, checked_seconds(call_timeout, "call_timeout"))

    def stub(self, place: int) -> Any:
        """The stub of a server. Closed: the client is closed, or belongs to another process."""
        if self._opened and self._process != os.getpid():  # the lock may be held for ever
            raise Closed(
                "this client was used before this process was forked: make one after the fork"
            )
        with self._one_at_a_time:
            if self.closed:
                raise Closed("this client is closed: make another one")
            if place not in self._opened:
                with _in_words_of_python():
                    channel = self._open_channel(self.servers.addresses[place], self._tls)
                self._opened[place] = channel, _stub(channel)
                self._process = os.getpid()
            return self._opened[place][1]

    def no_connection(self) -> None:
        """A call got no connection: if files for TLS were replaced since the channels were opened, new
        ones are opened with them. The old ones stay until the end, as other calls may use them."""
        with self._one_at_a_time:
            before, self._stamp = self._stamp, stamp(self._tls)
            if self._stamp != before:
                for place, address in enumerate(self.servers.addresses):
                    if address.tls:
                        self._former += self._opened.pop(place, ())[:1]

    def explained(self, error: Unavailable, tries: Tries) -> Unavailable:
        """The same error, with what is wrong where there was no connection. It looks, which takes a
        few seconds at most."""
        if not tries.unanswered:
            return error
        from hodei.tls.diagnosis import REFUSED, why

        looked: dict[Address, str] = {}
        for place, words in list(tries.unconnected.items())[:MOST_DIAGNOSED]:
            address = self.servers.addresses[place]
            found = for_python(why(address, self._tls, words, DIAGNOSE_S).words)
            if found not in ("", REFUSED):
                looked[address] = found
        if not looked:
            return error
        if len(self.servers.addresses) == 1:
            return Unavailable(shown(f"{error}: {''.join(looked.values())}"))
        each = (f"{address}: {words}" for address, words in looked.items())
        return Unavailable(shown("; ".join([str(error), *each])))

    def close(self) -> list[Any]:
        """Lets no further call begin, and returns the channels, which are to be closed."""
        if self._process != os.getpid():
            self.closed = True
            return []
        with self._one_at_a_time:
            self.closed = True
            channels = [*self._former, *(channel for channel, _ in self._opened.values())]
            self._opened.clear()
            self._former.clear()
        return channels


def _stub(channel: Any) -> Any:
    """The calls of jobs, and the one that says whether a server has projects."""
    from hodei.protocol.hodei_pb2_grpc import JobServiceStub, ProjectServiceStub

    stub: Any = JobServiceStub(channel)
    stub.ListProjects = ProjectServiceStub(channel).ListProjects
    return stub


@contextmanager
def _in_words_of_python() -> Iterator[None]:
    """Invalid: a file for TLS is not as expected; it is named as the field of Tls."""
    try:
        yield
    except BadTls as error:
        raise Invalid(shown(for_python(str(error)))) from None


def _checked_tls(tls: Any) -> Tls:
    """Invalid: it is no Tls, or one of its fields has another type."""
    if not isinstance(tls, Tls):
        raise Invalid(f"tls: expected a Tls, got {type(tls).__name__}")
    for name, value in zip(Tls._fields, tls, strict=True):
        if not isinstance(value, str | None):
            raise Invalid(f"tls.{name}: expected text, got {type(value).__name__}")
    return tls


def checked_seconds(value: Any, what: str) -> float:
    """Seconds as a number. Invalid: they are none, or not above 0; `what` names them."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        return float(min(value, LONGEST_S))
    raise Invalid(f"{what}: expected seconds above 0, got {value!r}")


def _from_environment(environment: Mapping[str, str]) -> str:
    """The servers as the command line finds them."""
    return environment.get("HODEI_SERVER_ADDRESS") or environment.get("HODEI_SERVER") or ADDRESS


def _key_for(addresses: Sequence[Address], key: str | None) -> tuple[tuple[str, str], ...]:
    """What calls say of the API key, the one that was given or the environment's. Invalid: it is
    none, or must not be sent to one of the servers."""
    from hodei.protocol import api_key

    if key is not None and not isinstance(key, str):
        raise Invalid(f"api_key: expected text, got {type(key).__name__}")
    try:
        given = api_key.checked(key, "api_key") if key else None
        key = given or api_key.from_environment(os.environ)
        for address in addresses if key else ():
            api_key.check_way(address.target, os.environ, private=address.is_private)
    except api_key.BadKey as error:
        raise Invalid(str(error)) from None
    return api_key.metadata(key)


def _name(actor: str | None) -> str:
    """Who calls, as gRPC's metadata can carry it. Invalid: it is no text."""
    if actor is not None and not isinstance(actor, str):
        raise Invalid(f"actor: expected text, got {type(actor).__name__}")
    try:
        name = actor or getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        name = str(os.getuid())
    return "".join(c if c.isascii() and c.isprintable() and c != " " else "?" for c in name[:200])
