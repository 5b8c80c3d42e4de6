"""One worker of a test, as a process with a state folder, and the jobs that only it can take."""

import json
import os
import pwd
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from hodei_worker.supervisor.cgroups import kill_dead, own_cgroup
from tests.eventually import eventually, gone
from tests.running import Hodei, Ran

SANE_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass
class Worker:
    """One worker, and the jobs that only it can take."""

    hodei: Hodei
    kind: str
    state: Path
    flags: tuple[str, ...] = ()
    prefix: tuple[str, ...] = ()
    user: "pwd.struct_passwd | None" = None  # whom the worker itself runs as, if not as us
    python: str = sys.executable
    process: "subprocess.Popen[bytes] | None" = None
    environment: dict[str, str] = field(default_factory=dict)
    cwd: str = "/"
    safe_path: bool = False

    def up(self, token: str | None = None) -> None:
        command = [
            *self.prefix,
            self.python,
            *(["-P"] * self.safe_path),
            "-m",
            "hodei_worker",
            "--server",
            ",".join(self.hodei.addresses),
            "--state-dir",
            str(self.state),
            "--label",
            f"as={self.label}",
            "--name",
            self.label,
            "--slots",
            "8",
            "--drain-timeout",
            "0.2",
            *self.flags,
        ]
        # tools/test-unprivileged says by these where our packages, and the interpreter's library,
        # are.
        ours = {
            name: os.environ[name]
            for name in ("PYTHONPATH", "LD_LIBRARY_PATH")
            if name in os.environ
        }
        clean = ours | {"PATH": SANE_PATH, "LANG": "C.UTF-8"}
        other: dict[str, Any] = {}
        if self.user:
            other = {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}
        with self.log_file.open("ab") as log:
            began = log.tell()
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.cwd,
                env=clean | ({"HODEI_OTP_TOKEN": token} if token else {}) | self.environment,
                **other,
            )

        def connected() -> bool:
            assert self.process
            assert self.process.poll() is None, self.log
            return "connected to" in self.log_file.read_text()[began:]

        eventually(connected, 30)

    @property
    def label(self) -> str:
        return f"{self.kind}-{self.state.name}"

    @property
    def log_file(self) -> Path:
        return self.hodei.folder / f"{self.label}.log"

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def end(self) -> None:
        """SIGTERM; jobs stay with the supervisor."""
        assert self.process
        self.process.terminate()
        self.process.wait(30)

    @property
    def contained(self) -> bool:
        """Whether its jobs are in cgroups."""
        return all("/hodei-" in cgroup_of(pid) for pid in supervisors(self.state))

    def stop(self) -> None:
        """Nothing is left of it."""
        if self.process:
            for _ in range(2):
                self.process.terminate()
                try:
                    self.process.wait(3)
                    break
                except subprocess.TimeoutExpired:
                    continue
        for pid in supervisors(self.state):
            _, ours, name = cgroup_of(pid).partition("/hodei-")
            above, _, _ = cgroup_of(pid).partition("/hodei-")
            os.kill(pid, 9)
            eventually(lambda pid=pid: gone(pid))  # type: ignore[misc]
            if ours and (home := own_cgroup()):
                kill_dead(home / above.lstrip("/"), f"hodei-{name.partition('/')[0]}")

    def kill(self) -> None:
        """Agent and supervisor at once."""
        assert self.process
        self.process.kill()
        self.process.wait()
        for pid in supervisors(self.state):
            os.kill(pid, 9)

    def run(self, *arguments: str, stdin: bytes = b"", timeout: float = 60) -> Ran:
        return self.hodei.run(
            "job", "run", "--label", f"as={self.label}", *arguments, stdin=stdin, timeout=timeout
        )

    def submit(self, command: str | list[str] = "", **spec: Any) -> str:
        """By SQL, as it costs a program of ours less for each job."""
        spec |= {"command": command} if command else {}
        whole = json.dumps(spec | {"labels": {"as": self.label}})
        ((job_id,),) = self.hodei.sql("SELECT hodei_enqueue(%s::jsonb)::text", whole)
        return str(job_id)

    def submit_all(self, commands: Sequence[str | list[str]]) -> list[str]:
        """All at once, so that the worker gets them together."""
        specs = [{"command": one, "labels": {"as": self.label}} for one in commands]
        asked = """
            SELECT hodei_enqueue(spec)::text
            FROM jsonb_array_elements(%s::jsonb) WITH ORDINALITY AS given (spec, place)
            ORDER BY place
        """
        return [job_id for (job_id,) in self.hodei.sql(asked, json.dumps(specs))]

    def finish(self, command: str | list[str] = "", **spec: Any) -> "Ended":
        return self.ended(self.submit(command, **spec))

    def ended(self, job_id: str, most_s: float = 60.0) -> "Ended":
        asked = """
            SELECT state, reason, message, exit_code, attempts, leftover_processes, log_bytes,
                   log_dropped_bytes, logs_complete, leftover_unknown
            FROM jobs
            WHERE id = %s
              AND completed_at IS NOT NULL
        """
        (row,) = eventually(lambda: self.hodei.sql(asked, job_id), most_s)
        return Ended(job_id, self.text(job_id), *row)

    def text(self, job_id: str, stream: int | None = None) -> str:
        asked = """
            SELECT data
            FROM job_logs
            WHERE job_id = %s
              AND coalesce(stream = %s, true)
            ORDER BY lease, seq
        """
        found = self.hodei.sql(asked, job_id, stream)
        return b"".join(data for (data,) in found).decode(errors="replace")

    def wrote(self, job_id: str, words: str = "") -> str:
        """Its log, once words are in it."""
        return eventually(lambda: (text := self.text(job_id)) and words in text and text, 30) or ""

    def cancel(self, job_id: str) -> None:
        self.hodei.ok("job", "cancel", job_id)

    def attempts(self, job_id: str) -> tuple[str, int]:
        ((state, attempts),) = self.hodei.sql(
            "SELECT state, attempts FROM jobs WHERE id = %s", job_id
        )
        return state, attempts


class Ended(NamedTuple):
    """A job that has ended, and all of its log."""

    id: str
    text: str
    state: str
    reason: str
    message: str
    exit_code: int | None
    attempts: int
    leftover: int
    log_bytes: int
    dropped: int
    complete: bool
    unknown: int  # left alive, as they may be another job's


def cgroup_of(pid: int) -> str:
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return "".join(line[3:] for line in lines if line.startswith("0::"))


def supervisors(state: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"hodei_worker.supervisor" in words and str(state).encode() in words:
            found.append(int(entry.name))
    return found
