"""What callers ask, of messages of hodei.proto."""

from hodei.flow.log_place import WantedLog
from hodei.protocol import hodei_pb2 as pb

LAST_FROM_US = 1 << 52
"""A time of the year 2112, in microseconds since 1970: there is nothing after it."""


def wanted_log(request: pb.ReadLogsRequest) -> WantedLog:
    return WantedLog(
        cursor=request.cursor,
        follow=request.follow,
        attempt=request.attempt,
        tail_lines=request.tail_lines if request.HasField("tail_lines") else None,
        since=min(max(request.since_unix_us, 0), LAST_FROM_US),
        tell_waiting=request.tell_waiting,
    )
