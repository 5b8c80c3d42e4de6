"""Who calls: one interceptor resolves a principal for every call and turns its errors into statuses.

Now the only way in is loopback, or a network that was declared trusted by --insecure: the principal is `local`, and the actor is what the
caller says of itself. Keys and TLS will resolve to others here and nowhere else.
"""

import contextvars
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

from hodei.domain.errors import HodeiError
from hodei.rpc.errors import status_of

Context = grpc.aio.ServicerContext[Any, Any]

actor: contextvars.ContextVar[str] = contextvars.ContextVar("actor")
"""Of the call at hand: `cli:<user>`, or `local` when the caller does not say."""


def resolve(metadata: tuple[tuple[str, str | bytes], ...]) -> str:
    said = dict(metadata).get("hodei-actor", "")
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return "".join(c for c in text if c.isprintable() and not c.isspace())[:200] or "local"


class PrincipalInterceptor(grpc.aio.ServerInterceptor):
    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None:
            return None
        who = resolve(tuple(handler_call_details.invocation_metadata or ()))
        if handler.unary_unary:
            return grpc.unary_unary_rpc_method_handler(
                _answering(handler.unary_unary, who), handler.request_deserializer, handler.response_serializer
            )
        if handler.unary_stream:
            return grpc.unary_stream_rpc_method_handler(
                _streaming(handler.unary_stream, who), handler.request_deserializer, handler.response_serializer
            )
        return handler  # the workers' stream authenticates itself and turns its own errors into statuses


def _answering(behaviour: Callable[..., Awaitable[Any]], who: str) -> Callable[..., Awaitable[Any]]:
    async def answer(request: Any, context: Context) -> Any:
        actor.set(who)
        try:
            return await behaviour(request, context)
        except grpc.aio.AbortError:
            raise
        except (HodeiError, Exception) as error:  # noqa: BLE001  the border: every error becomes a status here
            return await context.abort(*status_of(error))

    return answer


def _streaming(behaviour: Callable[..., AsyncIterator[Any]], who: str) -> Callable[..., AsyncIterator[Any]]:
    async def stream(request: Any, context: Context) -> AsyncIterator[Any]:
        actor.set(who)
        try:
            async for message in behaviour(request, context):
                yield message
        except grpc.aio.AbortError:
            raise
        except (HodeiError, Exception) as error:  # noqa: BLE001  the border: every error becomes a status here
            await context.abort(*status_of(error))

    return stream
