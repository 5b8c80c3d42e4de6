"""How calls are answered: they are counted, admitted by their keys and roles, and read within their
limits, and their errors become statuses here and nowhere else.

A call's request is read when its turn has come, not when it arrives: until then it waits in the
client's own window. So every call is a stream to gRPC, of one request where the contract says so;
clients do not see the difference."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from hodei.access import projects
from hodei.access.gate import Gate
from hodei.access.keyring import KnownKey
from hodei.access.limits import Limits, Quota
from hodei.access.principal import Caller, Principal, actor_name, caller, principal
from hodei.access.rests import rest_s
from hodei.access.roles import FOR_ONE_PROJECT, LEAST, WITHOUT_KEY, Role
from hodei.domain.errors import Exhausted, Invalid, forget_frames
from hodei.rpc.counted import when_over
from hodei.rpc.errors import status_of
from hodei.rpc.greeted import Greeted
from hodei.rpc.options import MESSAGE_BYTES
from hodei.rpc.principal import calling, said_in
from hodei.rpc.queues import WITH_OWN_QUEUE, SharedQueue
from hodei.rpc.receiving import Receiving

Context = grpc.aio.ServicerContext[Any, Any]

Enter = Callable[[Context], Awaitable[tuple[Caller, KnownKey | None]]]
"""What a call passes first: who calls, and with which key."""

SMALL_ANSWER = 8 << 10
"""Bytes of an answer up to which it is not counted among the bytes of answers: the number of calls
bounds it."""

WORDS_BYTES = 2_000
"""Bytes of an error's words. They travel in a header, up to three times as long, of which clients
take 8 KB."""


class Answering:
    """Takes the place of a server where generated code adds its services, and adds their calls with
    bounds.

    `on_loopback`: all addresses on which the server listens are of loopback. gRPC does not say by
    which address a call came: where the answer differs, each address needs a server of its own."""

    def __init__(
        self, server: grpc.aio.Server, limits: Limits, gate: Gate, *, on_loopback: bool
    ) -> None:
        self._server = server
        self._limits = limits
        self._gate = gate
        self._on_loopback = on_loopback
        self._shared = SharedQueue()
        server.add_generic_rpc_handlers((self._shared,))

    def add_generic_rpc_handlers(self, handlers: Sequence[Any]) -> None:
        """Does nothing: the same calls come to add_registered_method_handlers."""

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        own = {}
        for name, handler in handlers.items():
            bounded = self._bounded(f"{service}/{name}", name, handler)
            if name in WITH_OWN_QUEUE:
                own[name] = bounded
            else:
                self._shared.handlers[f"/{service}/{name}"] = bounded
        self._server.add_registered_method_handlers(service, own)

    def _bounded(self, method: str, name: str, handler: Any) -> Any:
        enter = self._entrance(method, self._quota(method, name))
        if handler.request_streaming:
            return grpc.stream_stream_rpc_method_handler(
                self._duplex(handler.stream_stream, enter),
                handler.request_deserializer,
                handler.response_serializer,
            )
        receiving = Receiving(self._limits, method)
        if not handler.response_streaming:
            unary = self._unary(handler, enter, receiving)
            return grpc.stream_unary_rpc_method_handler(unary, None, None)
        answer = self._stream(handler, enter, receiving)
        return grpc.stream_stream_rpc_method_handler(answer, None, None)

    def _quota(self, method: str, name: str) -> Quota | None:
        limits = self._limits
        own: dict[str, Quota | None] = {
            "Connect": None,  # Greeted counts
            "CreateJobs": limits.creates,
            "ReadLogs": limits.log_readers,
            "WaitJobs": limits.waits,
            "Watch": limits.health_watches,
            "ServerReflectionInfo": limits.reflections,
        }
        needs_key = LEAST.get(method) is not Role.NONE
        return own.get(name, limits.calls if needs_key else limits.open_calls)

    def _entrance(self, method: str, counted: Quota | None) -> Enter:
        """What each call of a method passes first. It is counted until it is over and its answer is
        taken; `counted` None: it is counted elsewhere. Exhausted: there are too many. Gate.admit has
        the other errors."""
        least, reads_key = LEAST.get(method), method not in WITHOUT_KEY
        of_all_projects = method not in FOR_ONE_PROJECT
        admit, on_loopback = self._gate.admit, self._on_loopback

        async def enter(context: Context) -> tuple[Caller, KnownKey | None]:
            who = calling(context.peer())
            caller.set(who)
            if counted:
                counted.acquire(who.address)
                when_over(context, counted, who.address, 1)
            said = said_in(context.invocation_metadata() or ())
            if not reads_key:
                principal.set(Principal(actor_name(said.actor), Role.NONE, None))
                return who, None
            admitted = await admit(least, who, said, on_loopback=on_loopback)
            if of_all_projects:
                projects.check_unbound(admitted.principal)
            principal.set(admitted.principal)
            if admitted.key:
                who = who._replace(key_id=admitted.key.id)
                caller.set(who)
            return who, admitted.key

        return enter

    def _held(self, key: KnownKey | None) -> AbstractContextManager[None]:
        """A call that was admitted, which ends when its key does: the caller decides how long its
        request takes to come, and others how long it waits for its turns."""
        return self._gate.keyring.held(key) if key else nullcontext()

    def _unary(
        self, handler: Any, enter: Enter, receiving: Receiving
    ) -> Callable[[Any, Context], Awaitable[Any]]:
        behaviour, serialise, parse = (
            handler.unary_unary,
            handler.response_serializer,
            handler.request_deserializer,
        )
        limits = self._limits

        async def reply_to(context: Context) -> bytes:
            who, key = await enter(context)
            with self._held(key):
                raw = await receiving.request(context, who)
                if not receiving.is_large:
                    return self._send(
                        context, who, serialise(await behaviour(_parsed(parse, raw), context))
                    )
                async with limits.at_work(who, len(raw)):
                    begun = time.perf_counter()
                    request = _parsed(parse, raw)
                    del raw
                    if pause_s := rest_s(begun):
                        await asyncio.sleep(pause_s)
                    reply = await behaviour(request, context)
                return self._send(context, who, serialise(reply))

        async def answer(_requests: Any, context: Context) -> Any:
            try:
                return await reply_to(context)
            except Exception as error:  # noqa: BLE001  the border: every error becomes a status here
                return await _abort(context, error)

        return answer

    def _stream(
        self, handler: Any, enter: Enter, receiving: Receiving
    ) -> Callable[[Any, Context], Awaitable[None]]:
        """A call with one request and many answers. While the client does not take an answer, only
        its bytes are kept."""
        behaviour, serialise, parse = (
            handler.unary_stream,
            handler.response_serializer,
            handler.request_deserializer,
        )

        async def write_all(context: Context) -> None:
            who, key = await enter(context)
            with self._held(key):
                request = _parsed(parse, await receiving.request(context, who))
                await answer_to(request, context)

        async def answer_to(request: Any, context: Context) -> None:
            async for message in behaviour(request, context):
                raw = serialise(message)
                del message
                await context.write(raw)
                del raw

        async def stream(_requests: Any, context: Context) -> None:
            try:
                await write_all(context)
            except Exception as error:  # noqa: BLE001  the border: every error becomes a status here
                await _abort(context, error)

        return stream

    def _duplex(self, behaviour: Any, enter: Enter) -> Callable[[Any, Context], Awaitable[None]]:
        async def stream(requests: Any, context: Context) -> None:
            try:
                who, key = await enter(context)
                if not inspect.isasyncgenfunction(behaviour):
                    await behaviour(requests, Greeted(context, self._limits, who))
                    return
                with self._held(key):
                    async for message in behaviour(requests, context):
                        await context.write(message)
            except Exception as error:  # noqa: BLE001  the border: every error becomes a status here
                await _abort(context, error)

        return stream

    def _send(self, context: Context, who: Caller, raw: bytes) -> bytes:
        """Returns the answer, which is counted until the client has taken it. Exhausted: it is too
        large, or too many bytes wait to be taken."""
        size = len(raw)
        if size > MESSAGE_BYTES:
            raise Exhausted(f"the answer has {size} bytes: expected at most {MESSAGE_BYTES}")
        if size > SMALL_ANSWER:
            self._limits.answers.acquire(who.address, size)
            when_over(context, self._limits.answers, who.address, size)
        return raw


def _parsed(parse: Callable[[bytes], Any], raw: bytes) -> Any:
    try:
        return parse(raw)
    except DecodeError:
        raise Invalid(
            "expected a request of this call's type, got bytes that do not parse"
        ) from None


async def _abort(context: Context, error: Exception) -> None:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, grpc.aio.InternalError):  # a write that failed: the client has left
        return
    if isinstance(error, NotImplementedError):  # a call of a standard service that it leaves out
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this server does not have this call")
    code, words = status_of(error)
    forget_frames(error)  # gRPC keeps what abort raises, and with it this error, in a cycle
    await context.abort(code, words.encode()[:WORDS_BYTES].decode(errors="ignore"))
