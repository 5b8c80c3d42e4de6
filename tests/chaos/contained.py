"""Container jobs under attack: an engine of the run's own, which is restarted and crashes, and
containers that somebody removes by hand."""

import contextlib
import os
import random
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.docker import tiny_image
from tests.docker.engines import OwnEngine

PART = 0.4
"""Of all jobs."""

REMOVED_S = 60.0
"""For all containers to be removed, at rest."""

LOST_WITH_PROCESS = "lost by no fault"
ENDED_UNSEEN = "succeeded with an incomplete log"
"""An engine that is away when a container ends loses what it wrote then; the log says so."""

BY_HAND = "ended INTERNAL: container removed by somebody else"


class Contained:
    def __init__(self, dice: random.Random, folder: Path, trace: Path) -> None:
        """`folder`: of the system, with the workers' state folders."""
        self._dice = dice
        self._folder = folder
        self._trace = trace
        self._place = Path(tempfile.mkdtemp(prefix="hodei-"))  # its sockets' paths must be short
        live = dice.random() < 0.5
        self._engine = OwnEngine(self._place, *(["--live-restore"] if live else []))
        self.removed: set[str] = set()  # jobs whose container was removed by hand
        self.jobs: set[str] = set()

    @property
    def flags(self) -> tuple[str, ...]:
        """Of the workers."""
        executors = ("--executor", "process", "--executor", "docker")
        engine = ("--docker-socket", self._engine.socket, "--pull-policy", "never")
        return (*executors, *engine, "--allow-volume", str(self._trace))

    @contextlib.contextmanager
    def engine(self) -> Iterator[None]:
        try:
            self._engine.up()
            tiny_image.build(self._engine.socket)
            yield
        finally:
            self._engine.end()
            shutil.rmtree(self._place, ignore_errors=True)

    def spec(self, script: str) -> dict[str, Any]:
        """Runs a script that leaves a trace in the folder of traces."""
        volume = f"{self._trace}:{self._trace}"
        return {"image": tiny_image.NAME, "network": "none", "volumes": [volume], "script": script}

    # ── faults ──

    def faults(self) -> tuple[Callable[[], None], ...]:
        return (
            self.engine_restarted,
            self.engine_crashed,
            self.containers_process_killed,
            self.containers_process_killed,
            self.container_removed,
            self.container_removed,
            self.container_removed,
        )

    def engine_restarted(self) -> None:
        self._engine.down()
        time.sleep(self._dice.uniform(0, 2))
        self._engine.up()

    def engine_crashed(self) -> None:
        self._engine.kill()
        time.sleep(self._dice.uniform(0, 2))
        self._engine.up()

    def containers_process_killed(self) -> None:
        state = str(self._folder / f"w{self._dice.choice((0, 1))}" / "containers").encode()
        for entry in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if b"hodei_worker.containers" in words and state in words:
                    os.kill(int(entry.name), signal.SIGKILL)

    def container_removed(self) -> None:
        found = self._containers("--format", '{{.ID}} {{.Label "hodei.job"}}')
        if found:
            container, _, job_id = self._dice.choice(sorted(found)).partition(" ")
            self.removed.add(job_id)
            self._engine.docker("rm", "-f", container, check=False)

    # ── the end ──

    def _containers(self, *flags: str) -> list[str]:
        listed = self._engine.docker("ps", "-a", "--filter", "label=hodei.lease", *flags)
        return listed.stdout.splitlines()

    def violations(self) -> list[str]:
        """Containers that nobody removes."""
        deadline = time.monotonic() + REMOVED_S
        names = ("--format", "{{.Names}} ({{.Status}})")
        while (left := self._containers(*names)) and time.monotonic() < deadline:
            time.sleep(0.5)
        return [f"container {name} is left" for name in left]

    def forgiven(self, violation: str, faults: Mapping[str, int]) -> bool:
        """Whether a fault of this run has to bring it about: a container's removal by hand, an engine
        that was away when a container ended, or the death of the process for containers when it was
        just told to start a job."""
        job_id, _, words = violation.partition(": ")
        if words.startswith(LOST_WITH_PROCESS):
            return job_id in self.jobs and faults["containers_process_killed"] > 0
        if words == ENDED_UNSEEN:
            away = faults["engine_restarted"] + faults["engine_crashed"]
            return job_id in self.removed or (job_id in self.jobs and away > 0)
        return words == BY_HAND and job_id in self.removed
