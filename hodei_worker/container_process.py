"""The process that handles containers, from the agent's side. It has a folder of its own, beside
those of the supervisors of processes."""

import asyncio
import os
from pathlib import Path

import orjson

from hodei_worker.config import ContainerFlags, Settings
from hodei_worker.containers.settings import ContainerSettings
from hodei_worker.supervisor_folder import ConnectedSupervisor, Module, connect, has_unreported_jobs

FIRST_WORD_S = 3.0
"""Seconds that the agent waits until the process knows whether an engine answers: so that the first
hello to a server names containers."""

TRIES, AGAIN_S = 10, 0.2
"""How often the agent connects to the process, and the seconds between two tries."""


def wanted_settings(settings: Settings, owner: str) -> ContainerSettings:
    """`owner`: the worker's id. A worker that no longer runs container jobs goes on with those that
    run, with the default settings."""
    flags = settings.containers or ContainerFlags()
    return ContainerSettings(
        owner,
        flags.socket,
        settings.log_limit,
        list(flags.images),
        list(flags.volumes),
        list(flags.networks),
        flags.pull_policy,
        os.environ.get("DOCKER_CONFIG") or str(Path.home() / ".docker"),
    )


async def open_containers(settings: Settings, owner: str) -> ConnectedSupervisor | None:
    """Returns None if this worker runs no container jobs and none are left from before, or if the
    process closes each connection at once. (One that is being killed does so once.) Raises
    BadSetting if the process cannot be started."""
    folder = settings.state_dir / "containers"
    start = settings.containers is not None or has_unreported_jobs(folder)
    wanted = wanted_settings(settings, owner)
    module = Module("hodei_worker.containers", [orjson.dumps(wanted._asdict()).decode()])
    for _ in range(TRIES):
        found = await connect(folder, settings, start, module)
        if found and settings.containers and found.settings != wanted._asdict():
            await found.hand_over()
        elif found:
            await found.first_word(FIRST_WORD_S if settings.containers else 0)
            return found
        elif not start:
            return None
        await asyncio.sleep(AGAIN_S)
    return None
