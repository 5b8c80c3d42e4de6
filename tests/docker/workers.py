"""A worker that runs container jobs, and what is left of it on the engine."""

import json
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.docker.tiny_image import NAME as IMAGE
from tests.eventually import eventually, gone
from tests.running import Hodei
from tests.worker_process import Ended, Worker

LONG_SILENT = """
WITH heard AS (
    UPDATE hodei_listening SET listening_since = listening_since - interval '1 hour'
)
UPDATE workers
SET last_heartbeat = last_heartbeat - interval '2 minutes'
WHERE id = %s
"""

BOTH = ("--executor", "process", "--executor", "docker")


@dataclass
class DockerWorker(Worker):
    """Its jobs have the tiny image and no network, which starts faster."""

    socket: str = ""

    @classmethod
    def on(cls, hodei: Hodei, state: Path, socket: str, *flags: str) -> "DockerWorker":
        flags = (*BOTH, "--docker-socket", socket, *flags)
        return cls(hodei, "docker", state, flags, socket=socket)

    def docker(self, *arguments: str) -> str:
        return docker("-H", f"unix://{self.socket}", *arguments)

    def submit(self, command: str | list[str] = "", **spec: Any) -> str:
        return super().submit(command, **{"image": IMAGE, "network": "none"} | spec)

    def submit_process(self, command: str) -> str:
        return super().submit(command)

    def process_job(self, command: str) -> Ended:
        return self.ended(self.submit_process(command))

    def cancel_took_s(self, job_id: str) -> float:
        """Seconds from the request to the end, by the audit."""
        asked = """
            SELECT extract(epoch FROM j.completed_at - e.occurred_at)
            FROM jobs j JOIN domain_events e ON e.aggregate_id = j.id::text
            WHERE j.id = %s AND e.event_type = 'JobCancelRequested'
        """
        ((took,),) = self.hodei.sql(asked, job_id)
        return float(took)

    @property
    def takes_containers(self) -> bool:
        """Whether servers know it as one that does."""
        asked = "SELECT labels ? 'hodei/executor' FROM workers WHERE id = %s"
        ((takes,),) = self.hodei.sql(asked, self.owner)
        return bool(takes)

    @property
    def owner(self) -> str:
        return str(json.loads((self.state / "identity.json").read_text())["worker_id"])

    def containers(self, *flags: str) -> list[str]:
        """The ids of its containers, running ones only without flags."""
        label = f"label=hodei.worker={self.owner}"
        return self.docker("ps", "-q", "--no-trunc", "--filter", label, *flags).split()

    def container_pids(self) -> list[int]:
        """The processes of ours that handle its containers."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                folder = f"{self.state}/containers".encode()
                if b"hodei_worker.containers" in words and folder in words:
                    found.append(int(entry.name))
        return found

    def kill_containers_process(self) -> None:
        for pid in self.container_pids():
            os.kill(pid, signal.SIGKILL)
            eventually(lambda pid=pid: gone(pid))  # type: ignore[misc]

    def fall_silent(self) -> None:
        """Servers take it for gone, as if its last heartbeat were two minutes old."""
        self.hodei.sql(LONG_SILENT, self.owner)

    def stop(self) -> None:
        super().stop()
        self.kill_containers_process()
        if left := self.containers("-a"):
            self.docker("rm", "-f", "-v", *left)


def docker(*arguments: str) -> str:
    done = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout
