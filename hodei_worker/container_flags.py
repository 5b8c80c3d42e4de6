"""The flags of `hodei-worker` that are about container jobs."""

from collections.abc import Callable
from typing import Any

import click

from hodei_worker.config import BadSetting, ContainerFlags
from hodei_worker.containers.settings import DEFAULT_SOCKET

OPTIONS = (
    click.option(
        "--executor",
        envvar="HODEI_EXECUTOR",
        multiple=True,
        type=click.Choice(["process", "docker"]),
        default=["process"],
        show_default=True,
        help="What jobs can be here: plain processes, containers, or both; repeatable.",
    ),
    click.option(
        "--docker-socket",
        envvar="HODEI_DOCKER_SOCKET",
        default=DEFAULT_SOCKET,
        show_default=True,
        metavar="PATH",
        help="Socket of the Docker Engine that runs the containers.",
    ),
    click.option(
        "--allow-image",
        envvar="HODEI_ALLOW_IMAGE",
        multiple=True,
        metavar="GLOB",
        help="Images that jobs may use, as docker.io/library/*; repeatable; any otherwise.",
    ),
    click.option(
        "--allow-volume",
        envvar="HODEI_ALLOW_VOLUME",
        multiple=True,
        metavar="GLOB",
        help="Folders of the engine's host that jobs may mount, as /data/*; repeatable; none"
        " otherwise.",
    ),
    click.option(
        "--allow-network",
        envvar="HODEI_ALLOW_NETWORK",
        multiple=True,
        metavar="NAME",
        help="Networks that jobs may use besides bridge and none; repeatable.",
    ),
    click.option(
        "--pull-policy",
        envvar="HODEI_PULL_POLICY",
        type=click.Choice(["missing", "always", "never"]),
        default="missing",
        show_default=True,
        help="When images are pulled: as each job says, and else if they are missing; always; never.",
    ),
)


FLAGS = {
    "socket": "--docker-socket",
    "images": "--allow-image",
    "volumes": "--allow-volume",
    "networks": "--allow-network",
    "pull_policy": "--pull-policy",
}
"""The fields of ContainerFlags, with the flag of each."""


def container_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def container_flags(given: dict[str, Any]) -> ContainerFlags | None:
    """Reads the flags; None if this worker runs no containers. Raises BadSetting."""
    flags = ContainerFlags(
        given["docker_socket"],
        given["allow_image"],
        given["allow_volume"],
        given["allow_network"],
        given["pull_policy"],
    )
    if "docker" in given["executor"]:
        return flags
    for name, flag in FLAGS.items():
        if getattr(flags, name) != getattr(ContainerFlags(), name):
            variable = f"HODEI_{flag[2:].replace('-', '_').upper()}"
            raise BadSetting(f"{flag} (or {variable}): expected --executor docker with it")
    return None
