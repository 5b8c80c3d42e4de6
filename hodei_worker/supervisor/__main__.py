"""`python -m hodei_worker.supervisor STATE_DIR keep|kill LOG_LIMIT [JOB_USER]`: started by the
agent, never by hand."""

import gc
import os
import signal
import sys
from pathlib import Path

FAULTS = {
    signal.SIGSEGV,
    signal.SIGBUS,
    signal.SIGILL,
    signal.SIGFPE,
    signal.SIGABRT,
    signal.SIGTRAP,
    signal.SIGSYS,
}
NEEDED = {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD, signal.SIGCONT}
IGNORED = signal.valid_signals() - FAULTS - NEEDED
"""Whatever a job may send to its parent: the supervisor ends when its agent says so, and by nothing
else that can be ignored."""


def socket_in(state: Path) -> Path:
    """Through a descriptor of the folder: a socket's own path may have 107 bytes at most."""
    folder = os.open(state, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return Path(f"/proc/self/fd/{folder}/supervisor.sock")


def main() -> None:
    sys.modules["ssl"] = None  # type: ignore[assignment]  # asyncio does without it: 4 MB that a unix socket has no use for
    import asyncio

    from hodei_worker.supervisor import kin
    from hodei_worker.supervisor.service import Supervisor
    from hodei_worker.supervisor.user import JobUser

    async def supervise() -> None:
        state, keep, log_limit, *user = sys.argv[1:]
        job_user = JobUser.named(user[0]) if user else None
        await Supervisor(
            Path(state), keep=keep == "keep", log_limit=int(log_limit), user=job_user
        ).run(socket_in(Path(state)))

    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    os.umask(0o022)
    kin.lower_oom_score()
    gc.freeze()
    gc.set_threshold(
        20_000
    )  # a job leaves hardly a cycle behind: to look for them after each few took a tenth of the time
    asyncio.run(supervise())


if __name__ == "__main__":
    main()
