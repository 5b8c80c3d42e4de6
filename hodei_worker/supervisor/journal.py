"""What the supervisor must not forget when it dies: which leases it started, and results that
nobody has acknowledged.

Append-only JSON lines, rewritten when half of it is history. Not synced to the platter: it survives
the process, not the host, and a host that loses power has lost its jobs as well. Lines gather until
`flush`, which comes before a job is spawned and before an end is told."""

import os
from pathlib import Path
from typing import Any, BinaryIO

import orjson

COMPACT_AFTER = 1000
"""Lines beyond the live ones."""

KEPT = ("lease", "job_id", "attempt", "correlation_id", "actor", "started_us", "cgroup")


class Journal:
    def __init__(self, path: Path) -> None:
        self._path = path
        self.entries: dict[
            int, dict[str, Any]
        ] = {}  # lease → its start, with "result" once it has ended
        self._lines = 0
        self._unwritten: list[bytes] = []
        self._load()
        self._file = self._open_file(self._path)

    @staticmethod
    def _open_file(path: Path) -> BinaryIO:
        """Nobody else reads it: it lies in a folder that the job user may pass."""
        return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")  # noqa: PTH123

    def _load(self) -> None:
        if not self._path.exists():
            return
        kept = self._path.read_bytes()
        for line in kept.splitlines():
            try:
                entry = orjson.loads(line)
            except ValueError:
                continue  # the line that was being written when we died
            self._apply(entry)
        if kept and not kept.endswith(b"\n"):
            self._unwritten.append(b"")  # ends that line: the next one would be lost with it

    def _apply(self, entry: dict[str, Any]) -> None:
        lease = entry["lease"]
        if "forgotten" in entry:
            self.entries.pop(lease, None)
        elif "seen" in entry:
            if known := self.entries.get(lease):
                known["seen"] = entry["seen"]
        elif "result" in entry:
            self.entries.setdefault(lease, {"lease": lease, "job_id": ""})["result"] = entry[
                "result"
            ]
        else:
            self.entries[lease] = entry

    def add_start(self, start: dict[str, Any]) -> None:
        self._add({key: start[key] for key in KEPT if key in start})

    def add_processes(self, lease: int, processes: dict[int, int]) -> None:
        """Where there is no cgroup: process id → when it started, in the kernel's clock ticks."""
        self._add({"lease": lease, "seen": sorted(processes.items())})

    def add_result(self, lease: int, result: dict[str, Any]) -> None:
        self._add({"lease": lease, "result": result})

    def add_forgotten(self, lease: int) -> None:
        self._add({"lease": lease, "forgotten": True})

    def _add(self, entry: dict[str, Any]) -> None:
        self._apply(entry)
        self._unwritten.append(orjson.dumps(entry))

    def flush(self) -> None:
        """A full disk loses the memory of these entries after a crash, not the jobs."""
        if not self._unwritten:
            return
        lines, self._unwritten = self._unwritten, []
        self._lines += len(lines)
        try:
            self._file.write(b"\n".join(lines) + b"\n")
            self._file.flush()
        except OSError:
            return
        if self._lines > COMPACT_AFTER + 2 * len(self.entries):
            self._compact()

    def close(self) -> None:
        """At the supervisor's own end: an empty journal says that there is nothing to come back
        for."""
        self.flush()
        self._file.close()
        if not self.entries:
            self._path.unlink(missing_ok=True)

    def _compact(self) -> None:
        fresh = self._path.with_suffix(".new")
        try:
            fresh.unlink(missing_ok=True)
            with self._open_file(fresh) as file:
                file.writelines(orjson.dumps(entry) + b"\n" for entry in self.entries.values())
            fresh.replace(self._path)
        except OSError:
            return
        self._file.close()
        self._file = self._open_file(self._path)
        self._lines = 0
