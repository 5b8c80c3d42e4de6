"""`python -m hodei_worker.supervisor STATE_DIR keep|kill LOG_LIMIT [JOB_USER]`. The agent starts
it."""

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
"""Signals that a job may send to the supervisor. They are ignored: the supervisor ends when its
agent says so."""


def socket_in(state: Path) -> Path:
    """Returns a path through a descriptor of the folder: a socket's path may have 107 bytes at
    most."""
    folder = os.open(state, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return Path(f"/proc/self/fd/{folder}/supervisor.sock")


def main() -> None:
    # asyncio works without ssl, which would take 4 MB
    sys.modules["ssl"] = None  # type: ignore[assignment]
    import asyncio

    from hodei_worker.supervisor import kin
    from hodei_worker.supervisor.processes import Processes
    from hodei_worker.supervisor.service import Supervisor
    from hodei_worker.supervisor.settings import supervisor_settings
    from hodei_worker.supervisor.standard_error import forgive
    from hodei_worker.supervisor.user import JobUser

    async def supervise() -> None:
        state, keep, log_limit, *user = sys.argv[1:]
        job_user = JobUser.named(user[0]) if user else None
        limit = int(log_limit)
        executor = Processes(Path(state), limit, job_user)
        settings = supervisor_settings(job_user.name if job_user else None, limit)
        supervisor = Supervisor(Path(state), executor, settings, keep=keep == "keep")
        await supervisor.run(socket_in(Path(state)))

    forgive()
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    os.umask(0o022)
    kin.lower_oom_score()
    gc.freeze()
    gc.set_threshold(
        20_000
    )  # jobs leave few cycles; the default threshold cost a tenth of the time
    asyncio.run(supervise())


if __name__ == "__main__":
    main()
