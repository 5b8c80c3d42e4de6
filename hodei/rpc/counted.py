"""What a call counts towards until it is over."""

from typing import Any

import grpc.aio

from hodei.access.limits import Quota

Context = grpc.aio.ServicerContext[Any, Any]


def when_over(context: Context, quota: Quota, address: str, amount: int) -> None:
    """Gives a quota back when gRPC says that the call is over: its status is on its way, behind the
    answer."""

    def over(_context: Any) -> Any:
        quota.give_back(address, amount)

    context.add_done_callback(over)  # type: ignore[arg-type]  # its stub wants a name of its own
