"""The health check of the image: exit code 0 if this container does its work, 1 with a message if not.

A container with a worker's identity is a worker: it is healthy while it has a connection to a server.
Any other is a server: it is healthy while it says SERVING, which it does not without its database.

With an argument it asks the server of this container for that service of gRPC's health: "" as above,
hodei.v1.WorkerService for whether the server itself works, whatever its database does.
"""

import os
import sys
from pathlib import Path

os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # else its core writes lines of its own

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hodei.domain.text import shown
from hodei.tls.address import Address, parse_all
from hodei.tls.bad import BadTls
from hodei.tls.caller import Tls, open_channel
from hodei.tls.diagnosis import why

WITHIN_S, DIAGNOSE_S = 10, 1
"""Seconds for the answer, and for each step that finds out why there is none. Together they are less
than the time-out of the image's HEALTHCHECK, so that the message is seen."""

TABLES = ("/proc/net/tcp", "/proc/net/tcp6")
"""The connections of this container; the third column has the other side, the fourth the state."""

OPEN = "01"


def main() -> None:
    identity = Path(os.environ["HODEI_STATE_DIR"], "identity.json")
    asked, *_ = [*sys.argv[1:], None]
    try:
        is_worker = asked is None and identity.exists()
        problem = of_worker() if is_worker else of_server(asked or "")
    except (BadTls, OSError, ValueError) as error:
        problem = f"no check is possible: {error}"
    if problem:
        sys.exit(shown(problem))


def of_server(service: str) -> str:
    """What is wrong with a service of the server of this container; empty if nothing is."""
    address, tls = way_to_server()
    try:
        with open_channel(grpc, address, tls, ()) as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(
                health_pb2.HealthCheckRequest(service=service), timeout=WITHIN_S
            )
    except grpc.RpcError as error:
        return unanswered(error, address, tls, service)
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return "" if status == "SERVING" else f"the server says {status}"


def unanswered(error: grpc.RpcError, address: Address, tls: Tls, service: str) -> str:
    """What went wrong. The words of gRPC are for those who know its parts."""
    if error.code() is grpc.StatusCode.NOT_FOUND:
        return f"the server has no service {service!r}: expected '' or hodei.v1.WorkerService"
    found, _ = why(address, tls, error.details() or "", DIAGNOSE_S)
    return f"no answer at {address}: {found or f'status {error.code().name}'}"


def way_to_server() -> tuple[Address, Tls]:
    """The first address of this container's server that asks for no client's certificate, on loopback.
    Its certificate must have the name HODEI_TLS_NAME (127.0.0.1 unless that is set), and be of a CA in
    HODEI_TLS_CA (in the file of the certificate itself unless that is set). ValueError: each address
    asks for one."""
    listeners = (os.environ.get("HODEI_GRPC") or ":50051").split()
    host_port = next((one for one in listeners if "," not in one), None)
    if host_port is None:
        raise ValueError(
            "each address of HODEI_GRPC asks for a client certificate: add one without client-ca for"
            " this check, as 127.0.0.1:50059"
        )
    port = host_port.rpartition(":")[2]
    cert = os.environ.get("HODEI_TLS_CERT")
    (address,) = parse_all(f"127.0.0.1:{port}", tls=bool(cert))
    if not cert:
        return address, Tls()
    return address, Tls(os.environ.get("HODEI_TLS_CA") or cert, os.environ.get("HODEI_TLS_NAME"))


def of_worker() -> str:
    """What is wrong with the worker of this container; empty if nothing is. It is asked for no key: its
    container has none. The kernel knows the connections to servers; a worker ends one on which it
    heard nothing for 25 s."""
    given = os.environ.get("HODEI_SERVER_ADDRESS") or os.environ.get("HODEI_SERVER", "")
    ports = {address.target.rpartition(":")[2] for address in parse_all(given, tls=False)}
    lines = [line.split() for table in TABLES for line in Path(table).read_text().splitlines()[1:]]
    open_to = {str(int(line[2].rpartition(":")[2], 16)) for line in lines if line[3] == OPEN}
    return "" if ports & open_to else f"no connection to a server at {given}"


main()
