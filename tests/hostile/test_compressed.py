"""Compressed requests: 4 KB may be 4 MB, which gRPC would unpack in the event loop of the server, for
10 to 50 ms. They are refused before that, whoever sends them."""

from typing import Any

import grpc
import pytest

from tests.running import Hodei

BOMB = b"\x0a\x80\x89\x7a" + b"x" * 2_000_000  # one text of 2 MB


@pytest.mark.parametrize(
    "path", ["JobService/CreateJobs", "AccessService/WhoAmI", "WorkerService/Connect"]
)
def test_a_compressed_request_is_refused(path: str, hodei: Hodei) -> None:
    compression = grpc.Compression.Gzip
    with grpc.insecure_channel(hodei.addresses[0], compression=compression) as channel:
        method: Any = channel.unary_unary(f"/hodei.v1.{path}")
        call = method.future(BOMB, timeout=30)
        assert call.code() is grpc.StatusCode.UNIMPLEMENTED
        assert "'gzip' is disabled" in call.details()
    assert "Traceback" not in hodei.log("server-0")
