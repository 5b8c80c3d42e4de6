"""gRPC's own words for a connection that failed. People never get to see them: they name parts of
gRPC, and not what to do."""

import re

_UNRESOLVED = re.compile(
    r"errors resolving|DNS resolution failed|empty address list", re.IGNORECASE
)
_UNCONNECTED = re.compile(r"failed to connect to all addresses", re.IGNORECASE)

_BROKEN = re.compile(
    r"^(?:socket closed|connection reset|broken pipe|recvmsg|sendmsg|stream removed"
    r"|end(?:point|pointclosing)|goaway|keepalive|ping timeout|transport|channel closed|rst_stream"
    r"|received (?:http2 header|rst_stream|goaway)|too many pings|disconnected|cancelling all calls"
    r"|deadline exceeded|connection (?:dropped|attempt|closed|aborted|refused))",
    re.IGNORECASE,
)


def was_not_sent(words: str) -> bool:
    """Whether there was no connection, so that no server has seen the call."""
    return is_unresolved(words) or _UNCONNECTED.match(words) is not None


def is_unresolved(words: str) -> bool:
    """Whether no address was found for the name of a host."""
    return _UNRESOLVED.match(words) is not None


def is_refused(words: str, port: int) -> bool:
    """Whether nobody listens at the address: its host has refused the connection, and not a proxy
    with a port of its own."""
    return was_not_sent(words) and "connection refused" in words.lower() and f":{port}:" in words


def without_grpc(words: str) -> str:
    """The words of a failed call: a server's own as they are, and ours in place of gRPC's."""
    if was_not_sent(words):
        return "no server answers"
    if found := re.match(r"received http2 header with status: (\d+)", words, re.IGNORECASE):
        return f"a proxy before the server answered HTTP {found[1]}"
    if words.lower() == "deadline exceeded":
        return "the server did not answer in time"
    return "the connection to the server broke off" if _BROKEN.match(words) else words
