"""`python -m hodei_worker.containers STATE_DIR keep|kill SETTINGS`, with the settings as JSON. The
agent starts it."""

import os
import signal
import sys
from pathlib import Path


def main() -> None:
    # asyncio and aiohttp work without ssl, which would take 4 MB
    sys.modules["ssl"] = None  # type: ignore[assignment]
    import asyncio

    import orjson

    from hodei_worker.containers.containers import Containers
    from hodei_worker.containers.settings import ContainerSettings
    from hodei_worker.supervisor.__main__ import IGNORED, socket_in
    from hodei_worker.supervisor.service import Supervisor

    async def supervise() -> None:
        state, keep, said = sys.argv[1:]
        settings = ContainerSettings(**orjson.loads(said))
        executor = Containers(Path(state), settings)
        supervisor = Supervisor(Path(state), executor, settings._asdict(), keep=keep == "keep")
        await supervisor.run(socket_in(Path(state)))

    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    os.chdir("/")
    os.umask(0o077)
    asyncio.run(supervise())


if __name__ == "__main__":
    main()
