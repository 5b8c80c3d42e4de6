"""`python -m hodei_worker.supervisor STATE_DIR keep|kill LOG_LIMIT [JOB_USER]`: started by the agent, never by hand."""

import asyncio
import gc
import os
import sys
from pathlib import Path

from hodei_worker.supervisor import kin
from hodei_worker.supervisor.service import Supervisor
from hodei_worker.supervisor.user import JobUser


async def supervise(state: Path, *, keep: bool, log_limit: int, user: JobUser | None) -> None:
    await Supervisor(state, keep=keep, log_limit=log_limit, user=user).run(socket_in(state))


def socket_in(state: Path) -> Path:
    """Through a descriptor of the folder: a socket's own path may have 107 bytes at most."""
    folder = os.open(state, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return Path(f"/proc/self/fd/{folder}/supervisor.sock")


def main() -> None:
    state, keep, log_limit, *user = sys.argv[1:]
    os.chdir("/")
    os.umask(0o022)
    kin.spare_me()
    gc.freeze()
    gc.set_threshold(20_000)  # a job leaves hardly a cycle behind: to look for them after each few took a tenth of the time
    asyncio.run(supervise(Path(state), keep=keep == "keep", log_limit=int(log_limit), user=JobUser.named(user[0]) if user else None))


if __name__ == "__main__":
    main()
