"""Options of the gRPC server: how it notices dead peers, and the bounds that gRPC itself keeps."""

MESSAGE_BYTES = 4 << 20
"""Bytes of one message in either direction. A larger request is refused by gRPC with
RESOURCE_EXHAUSTED, a larger answer by rpc/answering.py; no answer of ours comes near it
(access/pages.py)."""

STREAMS = 800
"""Calls on one connection. The client's own gRPC holds further ones back until one has ended."""

CONNECTIONS = 5_000
"""Connections at the same time. A further one is closed as it comes, which its client sees as
UNAVAILABLE."""

METADATA_BYTES = 16 << 10
"""Bytes of a call's metadata. More is refused by gRPC with RESOURCE_EXHAUSTED."""

WINDOW_BYTES = 64 << 10
"""Bytes that a client may send of a call whose request is not being read yet. gRPC would let them grow
with the speed of the connection, until all requests that wait for their turn lie in our memory. For
a request that is read it opens the window as far as the message needs."""

GRPC_OPTIONS = [
    ("grpc.so_reuseport", 0),  # a port that is taken is refused, not shared
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # unsaid, a minute; less, and a slow link ends by what is in flight
    ("grpc.http2.ping_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 500),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.max_receive_message_length", MESSAGE_BYTES),
    ("grpc.max_send_message_length", MESSAGE_BYTES),
    # None but "identity". gRPC would unpack a message in the event loop: 4 KB of gzip hold it for 10
    # to 50 ms before anything of ours sees them. Such a call is refused as UNIMPLEMENTED.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    ("grpc.max_concurrent_streams", STREAMS),
    ("grpc.max_allowed_incoming_connections", CONNECTIONS),
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", WINDOW_BYTES),
    # Calls that have come and are not taken up yet, before our own bounds can answer them in words.
    # Above the first some are cancelled, above the second all.
    ("grpc.server.max_pending_requests", 5_000),
    ("grpc.server.max_pending_requests_hard_limit", 10_000),
    ("grpc.max_metadata_size", METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", METADATA_BYTES),
    # A connection that has not said its HTTP/2 preface by then is closed (milliseconds).
    ("grpc.server_handshake_timeout_ms", 10_000),
]
