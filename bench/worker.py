"""`python -m bench.worker SERVER… --slots N`: a real gRPC worker that runs nothing: it accepts and
reports success at once.

What is left is the path of the servers and PostgreSQL. The token comes in HODEI_OTP_TOKEN.
"""

import argparse
import asyncio
import hashlib
import os
import secrets
import time
import uuid
from typing import Any

import grpc
import grpc.aio

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from hodei.tls.address import parse_all
from hodei.tls.caller import from_environment, open_channel

OPTIONS = [("grpc.max_receive_message_length", 4 << 20)]


class BenchWorker:
    def __init__(self, server: str, slots: int, token: str, labels: dict[str, str]) -> None:
        self._server = server
        self._slots = slots
        self._token = token
        self._labels = labels
        self._id, self._secret = str(uuid.uuid4()), secrets.token_bytes(32)
        self._held: set[int] = set()  # reported, and not acknowledged
        self._writing = asyncio.Lock()  # a stream takes one frame at a time

    async def run(self) -> None:
        (address,) = parse_all(self._server, tls=False)
        tls = from_environment(os.environ)
        async with open_channel(grpc.aio, address, tls, OPTIONS) as channel:
            stub = hodei_pb2_grpc.WorkerServiceStub(channel)
            digest = hashlib.sha256(self._secret).digest()
            await stub.Register(
                pb.RegisterRequest(
                    token=self._token, worker_id=self._id, secret_sha256=digest, name="bench"
                )
            )
            call = stub.Connect(
                metadata=(("authorization", f"Bearer {self._id}:{self._secret.hex()}"),)
            )
            hello = pb.Hello(
                protocol_min=1,
                protocol_max=1,
                instance=str(uuid.uuid4()),
                name="bench",
                slots=self._slots,
                labels=self._labels,
                capabilities=["recall"],
            )
            await call.write(pb.WorkerFrame(hello=hello))
            print("connected", flush=True)
            async with asyncio.TaskGroup() as group:
                group.create_task(self._beat(call))
                group.create_task(self._work(call))

    async def _beat(self, call: Any) -> None:
        while True:
            await asyncio.sleep(10.0)
            beat = pb.Heartbeat(busy_slots=0)
            for lease in list(self._held):
                beat.held.add(lease=lease, phase=pb.Held.ENDED)
            async with self._writing:
                await call.write(pb.WorkerFrame(heartbeat=beat))

    async def _work(self, call: Any) -> None:
        while isinstance(frame := await call.read(), pb.ServerFrame):
            self._held.difference_update(frame.result_acks)
            if frame.run:
                async with self._writing:
                    await call.write(self._done(frame))
        raise SystemExit(f"the server ended the stream: {await call.details()}")

    def _done(self, frame: pb.ServerFrame) -> pb.WorkerFrame:
        answer, now = pb.WorkerFrame(), time.time_ns() // 1000
        for offer in frame.run:
            self._held.add(offer.lease)
            answer.accepts.add(lease=offer.lease)
            answer.results.add(
                lease=offer.lease, outcome=pb.SUCCEEDED, exit_code=0, run_us=1, started_unix_us=now
            )
        return answer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("server")
    parser.add_argument("--slots", type=int, default=200)
    parser.add_argument("--kind", default="bench")
    given = parser.parse_args()
    asyncio.run(
        BenchWorker(
            given.server, given.slots, os.environ["HODEI_OTP_TOKEN"], {"kind": given.kind}
        ).run()
    )


if __name__ == "__main__":
    main()
