"""Jobs that are wild towards their host: they escape, fill, fork, rename and kill.

Each has to end as its kind says, and none may cost another job anything, or leave a process. Each
writes a trace as the tame ones do.
"""

import random
from pathlib import Path
from typing import Any, NamedTuple

from tests.conftest import Connection

BEGIN = """
T={trace}/$HODEI_JOB_ID.$HODEI_LEASE
echo start >>$T
say() {{ echo "$1"; echo "$1" >>$T; }}
"""
"""`say` writes to the log and, behind it, to the trace."""

LAUNCHER = """
is() { tr '\\0' '\\n' <"/proc/$1/cmdline" 2>/dev/null | grep -q "$2"; }
is $PPID 'supervisor/launcher.py$' || PPID=
supervisor=$(cut -d ' ' -f 4 "/proc/${PPID:-0}/stat" 2>/dev/null)
is "${supervisor:-0}" '^hodei_worker.supervisor$' || supervisor=
"""
"""Only processes of this job's own worker are killed: others may run the same programs here."""

NEIGHBOUR = (
    LAUNCHER
    + """
for one in $(cat "/proc/${supervisor:-0}"/task/*/children 2>/dev/null); do
    [ "$one" = "$PPID" ] && continue
    is $one 'supervisor/launcher.py$' && kill -9 $one && break
done
say killed; sleep 0.3; say on
"""
)

SUCCEEDED = ("SUCCEEDED", None)
SIGNALED = ("FAILED", "SIGNALED")
TIMED_OUT = ("FAILED", "TIMEOUT")
ALWAYS = {("CANCELLED", "CANCELLED"), ("FAILED", "QUARANTINED")}
"""Ends that a fault beside them may bring to jobs of any kind: a cancel, supervisors that die."""

SLEEP = "/bin/sleep {mark}"
AWAY = "env -i /usr/bin/setsid " + SLEEP
STUBBORN = 'trap "" TERM; ' + SLEEP


class Kind(NamedTuple):
    script: str
    end: tuple[str, str | None] = SUCCEEDED  # state, reason
    more: dict[str, Any] = {}  # of its spec  # noqa: RUF012


KINDS = {
    "escapes": Kind(f"({AWAY} >/dev/null 2>&1 </dev/null &); say up; sleep 0.2; say done"),
    "escapes with its pipes": Kind(f"({AWAY} &); say up", more={"grace": 1}),
    "escapes and does not hear": Kind(
        f"(env -i /usr/bin/setsid /bin/sh -c '{STUBBORN}' >/dev/null 2>&1 &); say up",
        more={"grace": 1},
    ),
    "escapes again and again": Kind(
        f"trap '' TERM; say up; while :; do ({AWAY} >/dev/null 2>&1 &); sleep 0.05; done",
        TIMED_OUT,
        {"timeout": 2, "grace": 0.5},
    ),
    "fills its log": Kind(
        "say first; head -c 20000000 /dev/zero | tr '\\0' x >&2; say last",
        more={"log_limit": 1_000_000},
    ),
    "fills its log by lines": Kind(
        "say first; yes 'a line of words' | head -c 10000000 >&2; say last",
        more={"log_limit": 500_000},
    ),
    "forks a burst": Kind(f"say up; for n in $(seq 100); do {SLEEP} & done; sleep 0.1; say done"),
    "forks to its end": Kind(
        f"say up; while :; do ({AWAY} >/dev/null 2>&1 &); done",
        TIMED_OUT,
        {"timeout": 0.5, "grace": 0},
    ),
    "renames itself": Kind(
        "printf '\\303' >/proc/$$/comm; say up; (printf '\\377' >/proc/self/comm; sleep 0.5); say "
        "done"
    ),
    "renames itself and stays": Kind(
        f"printf '\\303' >/proc/$$/comm; say up; {SLEEP}", TIMED_OUT, {"timeout": 1, "grace": 0.5}
    ),
    "asks its launcher to end": Kind(LAUNCHER + "kill -TERM $PPID; say killed; sleep 0.3; say on"),
    "asks the supervisor to end": Kind(
        LAUNCHER + "kill -TERM $supervisor; say killed; sleep 0.3; say on"
    ),
    "kills its launcher": Kind(LAUNCHER + "kill -9 $PPID; say killed; sleep 0.3; say on"),
    "kills a neighbour's launcher": Kind(NEIGHBOUR),
    "kills its own group": Kind(f"say up; {SLEEP} & kill -9 0", SIGNALED),
    "ends its own group": Kind(f"say up; {SLEEP} & kill -TERM 0; sleep 5", SIGNALED),
}


class Wild:
    """`jobs`: by id, of what kind. `mark`: an argument that only processes of these jobs have."""

    def __init__(self, dice: random.Random, trace: Path) -> None:
        self._dice = dice
        self._trace = trace
        self.mark = f"86400.{random.SystemRandom().randrange(10**9):09d}"
        self.jobs: dict[str, str] = {}

    def spec(self) -> tuple[str, dict[str, Any]]:
        """A kind, and a job of it."""
        name = self._dice.choice(list(KINDS))
        kind = KINDS[name]
        script = BEGIN.format(trace=self._trace) + kind.script.replace("{mark}", self.mark) + "\n"
        return name, {"script": script, **kind.more}

    def violations(self, db: Connection) -> list[str]:
        """Jobs that did not end as their kind says."""
        found = []
        for job_id, state, reason, message in db.execute(
            "SELECT id::text, state, reason, message FROM jobs WHERE id::text = ANY (%s)",
            [list(self.jobs)],
        ).fetchall():
            kind = self.jobs[job_id]
            if (state, reason) != KINDS[kind].end and (state, reason) not in ALWAYS:
                found.append(f"{job_id}: {kind}, and ended {state} {reason or ''}: {message}")
        return found


def marked(mark: str) -> list[str]:
    """Processes that have the mark as an argument."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            words = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if mark.encode() in words:
            found.append(
                f"process {entry.name} of a job has escaped: "
                f"{b' '.join(words).decode(errors='replace')}"
            )
    return found
