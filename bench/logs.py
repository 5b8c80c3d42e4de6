"""`python -m bench.logs`: one job writes as fast as it can. Lines per second until all is stored,
memory, how far behind a reader is."""

import argparse
import base64
import json
import os
import random
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psycopg

from bench import cpu, profile
from bench.latency import spread
from bench.memory import most_resident, resident
from bench.system import QUIET, System, system
from hodei.domain.ids import uuid7
from hodei.local.stack import Part, mint_token
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol import hodei_pb2_grpc
from verify.checker import violations

LINE_BYTES = 80
BLOCK_LINES = 100_000

STORED = """
SELECT coalesce(sum(octet_length(data)), 0)::bigint, count(*), coalesce(max(seq) + 1, 0)
FROM job_logs
WHERE job_id = %s AND stream = 1
"""

KINDS = {
    "lines alike": (True, False),
    "lines alike, followed": (True, True),
    "random lines, followed": (False, True),
}

TAKES = "SELECT sum(pg_total_relation_size(relid)) FROM pg_partition_tree('job_logs') WHERE isleaf"


@dataclass
class Writer:
    """Writes one block again and again: faster than any reader of ours. `alike` is one line
    (PostgreSQL compresses it to nearly nothing), otherwise lines are random (it cannot); real logs
    lie between."""

    folder: Path
    lines: int
    alike: bool

    def __post_init__(self) -> None:
        self._block = self.folder / ("alike" if self.alike else "random")
        self.go = self.folder / f"go-{uuid7()}"
        body = b"0123456789" * 8 if self.alike else b""
        words = random.Random(1)  # noqa: S311
        text = b"".join(
            (body or base64.b64encode(words.randbytes(60)))[: LINE_BYTES - 1] + b"\n"
            for _ in range(BLOCK_LINES)
        )
        self._block.write_bytes(text)

    @property
    def command(self) -> str:
        """Waits for its sign, so that neither dispatch nor the start of a reader counts."""
        return f"while [ ! -e {self.go} ]; do sleep 0.01; done; {self._write}"

    @property
    def _write(self) -> str:
        return f"exec cat {f' {self._block}' * (self.lines // BLOCK_LINES)}"

    def ceiling_per_s(self, to: str) -> float:
        begun = time.monotonic()
        subprocess.run(["/bin/sh", "-c", f"({self._write}) {to}"], check=True)
        return round(self.lines / (time.monotonic() - begun), 1)


def follow(server: str, job_id: str) -> dict[str, Any]:
    """In a process of its own: how old each chunk is when it is in our hands, counted from when the
    worker read it."""
    behind: list[float] = []
    pages = received = 0
    with grpc.insecure_channel(
        server, options=[("grpc.max_receive_message_length", 8 << 20)]
    ) as channel:
        grpc.channel_ready_future(channel).result(timeout=10)
        stream = hodei_pb2_grpc.JobServiceStub(channel).ReadLogs(
            pb.ReadLogsRequest(job_id=job_id, follow=True)
        )
        print("following", file=sys.stderr, flush=True)
        for page in stream:
            now = time.time_ns() // 1000
            behind += [(now - chunk.read_unix_us) / 1e6 for chunk in page.chunks]
            received += sum(len(chunk.data) for chunk in page.chunks)
            pages += 1
    return {"seconds_behind": spread(behind), "pages": pages, "bytes": received}


class Scene:
    """A server and a worker that keeps all of a log; one job at a time."""

    def __init__(self, under_test: System, conn: psycopg.Connection[Any]) -> None:
        self._system, self._conn = under_test, conn
        flags = ["--log-limit", "0", "--slots", "1"]
        token = mint_token(under_test.url)
        under_test.stack.worker(
            "worker",
            under_test.servers[0],
            under_test.folder / "w",
            token,
            *flags,
            environment=QUIET,
        )
        names = {"server-0": "server", "worker": "agent", "worker-supervisor": "supervisor"}
        self._pids = {names[name]: pid for name, pid in profile.processes(under_test).items()}

    def written(self, writer: Writer, *, followed: bool) -> dict[str, Any]:
        job_id = str(uuid7())
        self._conn.execute(
            "SELECT hodei_enqueue(%s::jsonb)",
            [json.dumps({"id": job_id, "command": writer.command})],
        )
        self._until("RUNNING", job_id)
        follower = self._follower(job_id) if followed else None
        idle, before = resident(self._pids), cpu.spent(self._system)
        with most_resident(self._pids) as most:
            begun = time.monotonic()
            writer.go.touch()
            self._until("SUCCEEDED", job_id)
            took = time.monotonic() - begun
        after = cpu.spent(self._system)
        size = writer.lines * LINE_BYTES
        figures: dict[str, Any] = {
            "lines_per_s": round(writer.lines / took, 1),
            "seconds": round(took, 2),
            "mb_per_s": round(size / took / 1e6, 1),
        }
        figures["cpu_s"] = {part: round(after[part] - before[part], 2) for part in after}
        figures["stored"] = self._stored(job_id, size)
        figures["follower"] = self._heard(follower, job_id) if follower else None
        figures["memory"] = {"idle": idle, "most": most, "afterwards": resident(self._pids)}
        return figures

    def _follower(self, job_id: str) -> Part:
        part = self._system.stack.start(
            f"follower-{job_id}", ["bench.logs", "follow", self._system.servers[0], job_id]
        )
        self._system.stack.await_words(part, "following")
        time.sleep(0.5)  # its call is on its way
        return part

    @staticmethod
    def _heard(follower: Part, job_id: str) -> Any:
        if follower.process.wait(60):
            raise SystemExit(f"the follower of {job_id} failed:\n{follower.tail()}")
        return json.loads(follower.tail(1))

    def _stored(self, job_id: str, expected: int) -> dict[str, Any]:
        """Said as it is; whoever reads it sees at once whether anything is missing."""
        ((stored, chunks, next_seq),) = self._conn.execute(STORED, [job_id]).fetchall()
        ((complete,),) = self._conn.execute(
            "SELECT logs_complete FROM jobs WHERE id = %s", [job_id]
        ).fetchall()
        ((takes,),) = self._conn.execute(TAKES).fetchall()
        return {
            "bytes": stored,
            "all": stored == expected,
            "chunks": chunks,
            "no_hole": chunks == next_seq,
            "logs_complete": complete,
            "mb_in_postgres": round(float(takes) / 1e6, 1),
        }

    def _until(self, state: str, job_id: str) -> None:
        deadline = time.monotonic() + 600
        while True:
            ((now,),) = self._conn.execute(
                "SELECT state FROM jobs WHERE id = %s", [job_id]
            ).fetchall()
            if now == state:
                return
            if now in ("FAILED", "CANCELLED") or time.monotonic() > deadline:
                raise SystemExit(f"job {job_id} is {now}, expected {state}")
            time.sleep(0.02)


def measure(lines: int = 5_000_000) -> dict[str, Any]:
    lines = max(1, lines // BLOCK_LINES) * BLOCK_LINES
    with system(servers=1) as under_test, psycopg.connect(under_test.url, autocommit=True) as conn:
        scene = Scene(under_test, conn)
        result: dict[str, Any] = {
            "lines": lines,
            "bytes": lines * LINE_BYTES,
            "cores": os.cpu_count(),
        }
        for way, to in (("into /dev/null", "> /dev/null"), ("through a pipe", "| cat > /dev/null")):
            result[f"ceiling: lines_per_s {way}"] = Writer(
                under_test.folder, lines, alike=True
            ).ceiling_per_s(to)
            print(
                f"ceiling {way}: {result[f'ceiling: lines_per_s {way}']:,.0f} lines/s",
                file=sys.stderr,
                flush=True,
            )
        for name, (alike, followed) in KINDS.items():
            writer = Writer(under_test.folder, lines, alike)
            result[name] = scene.written(writer, followed=followed)
            print(f"{name}: {result[name]}", file=sys.stderr, flush=True)
            # The judge reads each log as one value, for which these are too large: it gets their
            # beginnings, we have looked at the rest.
            conn.execute("DELETE FROM job_logs WHERE seq >= 200")
            conn.execute("VACUUM job_logs")
            conn.execute("CHECKPOINT")
        return result | {"violations": violations(conn)}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.logs", description="One job that writes as fast as it can."
    )
    parser.add_argument("role", nargs="*", help="of a process that this program starts")
    parser.add_argument("--lines", type=int, default=5_000_000)
    given = parser.parse_args()
    match given.role:
        case ["follow", server, job_id]:
            print(json.dumps(follow(server, job_id)))
        case _:
            result = measure(given.lines)
            print(json.dumps(result, indent=2))
            sys.exit(1 if result["violations"] else 0)


if __name__ == "__main__":
    main()
