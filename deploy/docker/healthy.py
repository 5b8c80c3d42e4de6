"""The health check of the image: exit code 0 if this container does its work, 1 with a message if not.

A container with a worker's identity is a worker: it is healthy while servers hear its heartbeats.
Any other is a server: it is healthy while it says SERVING, which it does not without its database.

With an argument it asks the server of this container for that service of gRPC's health: "" as above,
hodei.v1.WorkerService for whether the server itself works, whatever its database does.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from hodei.tls.address import Address, parse_all
from hodei.tls.bad import BadTls
from hodei.tls.caller import Tls, open_channel

WITHIN_S = 4
"""Less than the time-out of the image's HEALTHCHECK, so that the message is seen."""

HEARD = ("READY", "BUSY", "DRAINING")


def main() -> None:
    identity = Path(os.environ["HODEI_STATE_DIR"], "identity.json")
    asked, *_ = [*sys.argv[1:], None]
    try:
        is_worker = asked is None and identity.exists()
        problem = of_worker(identity) if is_worker else of_server(asked or "")
    except (grpc.RpcError, BadTls, OSError, ValueError, subprocess.SubprocessError) as error:
        problem = f"no answer: {error}"
    if problem:
        sys.exit(problem)


def of_server(service: str) -> str:
    """What is wrong with a service of the server of this container; empty if nothing is."""
    address, tls = way_to_server()
    with open_channel(grpc, address, tls, ()) as channel:
        answer = health_pb2_grpc.HealthStub(channel).Check(
            health_pb2.HealthCheckRequest(service=service), timeout=WITHIN_S
        )
    status = health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)
    return "" if status == "SERVING" else f"the server says {status}"


def way_to_server() -> tuple[Address, Tls]:
    """The first address of this container's server that asks for no client's certificate, on loopback.
    Its certificate must have the name HODEI_TLS_NAME (127.0.0.1 unless that is set), and be of a CA in
    HODEI_TLS_CA (in the file of the certificate itself unless that is set)."""
    listeners = os.environ.get("HODEI_GRPC", ":50051").split()
    host_port = next((one for one in listeners if "," not in one), listeners[0])
    port = host_port.partition(",")[0].rpartition(":")[2]
    cert = os.environ.get("HODEI_TLS_CERT")
    (address,) = parse_all(f"127.0.0.1:{port}", tls=bool(cert))
    if not cert:
        return address, Tls()
    return address, Tls(os.environ.get("HODEI_TLS_CA") or cert, os.environ.get("HODEI_TLS_NAME"))


def of_worker(identity: Path) -> str:
    """What is wrong with the worker of this container; empty if nothing is."""
    worker_id = json.loads(identity.read_text())["worker_id"]
    shown = subprocess.run(
        ["hodei", "worker", "get", worker_id, "--format", "json"],
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
        check=False,
    )
    if shown.returncode != 0:
        return shown.stderr
    state = json.loads(shown.stdout)["state"]
    return "" if state in HEARD else f"worker {worker_id} is {state}"


main()
