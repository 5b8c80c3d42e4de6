"""The supervisor's journal: the leases that it has started, and results that are not acknowledged.
The next supervisor reads it if this one dies.

It is a file of JSON lines that is only appended to, and rewritten when most lines are out of date.
It is not synced to the disk: it survives the process and not the host, and a host that loses power
has lost its jobs as well. Lines gather until `flush`, which is called before a job is spawned and
before an end is reported."""

import os
from pathlib import Path
from typing import Any, BinaryIO

import orjson

COMPACT_AFTER = 10_000
"""Lines, about 1.5 MB. The file is rewritten when it has more than this plus twice the number of live
entries. A job has three lines; with 1,000 here a busy worker rewrote it five times a second."""

KEPT = (
    "lease",
    "job_id",
    "attempt",
    "correlation_id",
    "actor",
    "started_us",
    "cgroup",
    "cluster",
    "limits",
)


class Journal:
    def __init__(self, path: Path) -> None:
        self._path = path
        # lease → its start, with "result" once it has ended
        self.entries: dict[int, dict[str, Any]] = {}
        self._lines = 0
        self._unwritten: list[bytes] = []
        self._load()
        self._file = self._open_file(self._path)

    @staticmethod
    def _open_file(path: Path) -> BinaryIO:
        """Only our user may read it: the job user can pass through the folder."""
        return open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")  # noqa: PTH123

    def _load(self) -> None:
        if not self._path.exists():
            return
        kept = self._path.read_bytes()
        for line in kept.splitlines():
            try:
                entry = orjson.loads(line)
            except ValueError:
                continue  # the line that was being written when the supervisor died
            self._apply(entry)
        if kept and not kept.endswith(b"\n"):
            self._unwritten.append(b"")  # ends that line; the next would be lost with it

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
        """For a job without a cgroup. `processes`: process id → when it started (clock ticks)."""
        self._add({"lease": lease, "seen": sorted(processes.items())})

    def add_result(self, lease: int, result: dict[str, Any]) -> None:
        self._add({"lease": lease, "result": result})

    def add_forgotten(self, lease: int) -> None:
        self._add({"lease": lease, "forgotten": True})

    def _add(self, entry: dict[str, Any]) -> None:
        self._apply(entry)
        self._unwritten.append(orjson.dumps(entry))

    @property
    def flushed(self) -> bool:
        return not self._unwritten

    def flush(self) -> None:
        """Writes the gathered lines. If the disk is full they are lost: after a crash the next
        supervisor does not know of them, but no job ends by it."""
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
        """Called at the supervisor's end. A journal without entries is removed: no supervisor needs
        to be started for it."""
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
