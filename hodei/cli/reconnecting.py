"""Streams of answers that survive their server: another one is asked to go on."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from hodei.cli.client import Client, Unanswered, connect, is_transient, words
from hodei.cli.errors import Failure
from hodei.cli.say import say
from hodei.shapes.error import ErrorKind

AGAIN_S = 60.0
"""Seconds for which a server that answers is looked for."""

PAUSE_S = 0.3

GONE = "the server went away"


def answers(
    servers: str, ask: Callable[[Client], Iterator[Any]], *, again: bool, come_back: str
) -> Iterator[Any]:
    """Yields the answers of `ask` until it has ended. With `again` it is called anew, for another
    server, as often as a server goes away after its first answer; it asks for what is still to
    come. ClickException: no server has answered for AGAIN_S, or one has refused; `come_back` is the
    command that goes on."""
    import grpc

    deadline, told, why = 0.0, False, GONE
    while True:
        try:
            with connect(servers) as client:
                try:
                    for answer in ask(client):
                        deadline, told = 0.0, False
                        yield answer
                except grpc.RpcError as error:
                    if not again or not is_transient(error):
                        raise
                    full = error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
                    why = words(error) if full else GONE
                else:
                    return
        except Unanswered:
            if not deadline or not again:
                raise
        deadline = deadline or time.monotonic() + AGAIN_S
        if time.monotonic() > deadline:
            raise Failure(
                f"no server has answered for {AGAIN_S:g} s ({why}); go on with: {come_back}",
                ErrorKind.NO_SERVER,
            )
        if not told:
            say(f"hodei: {why}; looking for one that answers")
            told = True
        time.sleep(PAUSE_S)
