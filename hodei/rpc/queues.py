"""Where calls wait in gRPC until they are taken up: those of some methods apart from all others."""

from typing import Any

import grpc

WITH_OWN_QUEUE = frozenset(
    {
        *("CreateJobs", "GetJob", "ListJobs", "CancelJob", "RetryJob", "ReadLogs", "WaitJobs"),
        *("ResolveJobs", "FindJobs", "GetTimeline", "WhoAmI"),
        *("Register", "Connect", "Check", "Watch"),
        *("GetStatus", "ListWorkers", "GetWorker", "DrainWorker", "PauseProvider", "CreateToken"),
        *("RevokeWorker", "RevokeToken", "RevokeApiKey"),
    }
)
"""The methods of daily use, of workers and probes, and those with which an operator defends the system.
A flood of other calls does not hold theirs up: the queues are served by turns.

gRPC looks at each queue for each call that it takes up: a queue for each of all methods took 3 % of
a create."""


class SharedQueue(grpc.GenericRpcHandler):
    """The methods whose calls wait together, and with them the calls of unknown methods. Where more wait
    than a queue may have (grpc.server.max_pending_requests in options.py), gRPC cancels some of
    them."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}  # by /service/method

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        """The handler of a call. None: there is no such method, which gRPC answers with
        UNIMPLEMENTED."""
        return self.handlers.get(handler_call_details.method)
