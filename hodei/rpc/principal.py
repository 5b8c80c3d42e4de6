"""Who calls: every call is answered for a principal, and its errors become statuses here and nowhere else.

Now the only way in is loopback, or a network that was declared trusted by --insecure: the principal is `local`, and the actor is what the
caller says of itself. Keys and TLS will resolve to others here.
"""

import contextvars
import functools
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Any

import grpc.aio

from hodei.domain.errors import HodeiError
from hodei.rpc.errors import status_of

Context = grpc.aio.ServicerContext[Any, Any]

actor: contextvars.ContextVar[str] = contextvars.ContextVar("actor")
"""Of the call at hand: `cli:<user>`, or `local` when the caller does not say."""


def resolve(metadata: Iterable[Any]) -> str:
    said = next((value for key, value in metadata if key == "hodei-actor"), "")
    return _name(said.decode(errors="replace") if isinstance(said, bytes) else said)


@functools.lru_cache(1000)
def _name(said: str) -> str:
    return "".join(c for c in said if c.isprintable() and not c.isspace())[:200] or "local"


class Answering:
    """A servicer's calls, answered so. A wrapper and not an interceptor, which would make a handler anew for each call."""

    def __init__(self, servicer: object) -> None:
        for name, method in inspect.getmembers(servicer, inspect.ismethod):
            if name[0].isupper():  # as gRPC names its calls
                setattr(self, name, _streaming(method) if inspect.isasyncgenfunction(method) else _answering(method))


def _answering(behaviour: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def answer(request: Any, context: Context) -> Any:
        actor.set(resolve(context.invocation_metadata() or ()))
        try:
            return await behaviour(request, context)
        except grpc.aio.AbortError:
            raise
        except (HodeiError, Exception) as error:  # noqa: BLE001  the border: every error becomes a status here
            return await context.abort(*status_of(error))

    return answer


def _streaming(behaviour: Callable[..., AsyncIterator[Any]]) -> Callable[..., AsyncIterator[Any]]:
    async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
        actor.set(resolve(context.invocation_metadata() or ()))
        try:
            async for message in behaviour(request, context):
                yield message
        except grpc.aio.AbortError:
            raise
        except (HodeiError, Exception) as error:  # noqa: BLE001  the border: every error becomes a status here
            await context.abort(*status_of(error))

    return stream
