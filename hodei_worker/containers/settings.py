"""The settings of the process that handles containers. It gets them at its start and keeps them
until its end."""

from typing import NamedTuple

import hodei_worker
from hodei_worker.supervisor import wire

DEFAULT_SOCKET = "/var/run/docker.sock"


class ContainerSettings(NamedTuple):
    """Agent and process both make one. If those of a running process differ from the agent's, the
    agent starts another process, which goes on with the containers."""

    owner: str  # the worker's id: its containers carry it
    socket: str  # path of the engine's socket
    log_limit: int  # bytes of one attempt's log; 0: no limit
    allow_images: list[str]
    allow_volumes: list[str]
    allow_networks: list[str]
    pull_policy: str  # always or never, for every job; missing: as each job says
    docker_config: str  # folder of Docker's config.json; empty: none
    release: str = hodei_worker.__version__
    version: int = wire.VERSION  # of the link (wire.py)
