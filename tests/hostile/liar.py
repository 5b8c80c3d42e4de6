"""A server that lies to its callers: it says that it serves, and answers each call with what a test
gives it."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

from hodei.protocol import hodei_pb2 as pb

Answer = Callable[[Any, grpc.ServicerContext], Iterator[bytes]]
"""Takes what a method's answers are (a descriptor of a message) and yields their bytes."""

ANSWERS = {
    f"/{service.full_name}/{method.name}": method
    for service in pb.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}

SERVING = health_pb2.HealthCheckResponse(
    status=health_pb2.HealthCheckResponse.SERVING
).SerializeToString()


class Liar(grpc.GenericRpcHandler):
    """`asked`: the methods that were called."""

    def __init__(self) -> None:
        self.lie: Answer = lambda _method, _context: iter(())
        self.asked: list[str] = []
        self.over = threading.Event()
        self.address = ""

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        path = str(handler_call_details.method)

        def answer(_requests: Any, context: grpc.ServicerContext) -> Iterator[bytes]:
            if path.startswith("/grpc.health"):
                yield SERVING
            else:
                self.asked.append(path)
                method = ANSWERS.get(path)
                yield from self.lie(method.output_type if method else None, context)

        return grpc.stream_stream_rpc_method_handler(answer, None, None)


@contextmanager
def listening() -> Iterator[Liar]:
    liar = Liar()
    server = grpc.server(ThreadPoolExecutor(8), handlers=[liar])
    liar.address = f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    try:
        yield liar
    finally:
        liar.over.set()
        server.stop(None).wait()
