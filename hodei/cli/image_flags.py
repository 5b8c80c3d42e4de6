"""The flags that describe a job in a container, and the keys of the spec that they become."""

from collections.abc import Iterator
from typing import Any

import click

OPTIONS = (
    click.option("--image", help="Run in a container of this image, on a worker that can do so."),
    click.option("--entrypoint", help="Program in place of the image's entrypoint."),
    click.option(
        "--pull",
        type=click.Choice(["always", "missing", "never"]),
        help="When the image is pulled.",
        show_default="missing",
    ),
    click.option("--memory", metavar="SIZE", help="Limit, as 512m or 2g, swap included."),
    click.option("--cpus", metavar="N", help="Limit of processors, as 1.5."),
    click.option("--pids", type=int, metavar="N", help="Limit of processes and threads."),
    click.option("--network", metavar="NAME", help="none for no network.", show_default="bridge"),
    click.option(
        "--volume",
        multiple=True,
        metavar="SRC:DST[:ro]",
        help="Folder of the worker's host that it allows; repeatable.",
    ),
    click.option(
        "--user", metavar="USER[:GROUP]", help="In the container.", show_default="the image's"
    ),
    click.option("--read-only", is_flag=True, help="No writes to the container's root."),
    click.option(
        "--tmpfs", multiple=True, metavar="PATH[:OPTIONS]", help="Folder in memory; repeatable."
    ),
    click.option("--shm-size", metavar="SIZE", help="Size of /dev/shm, as 64m."),
    click.option("--platform", metavar="OS/ARCH", help="Of the image, as linux/arm64."),
    click.option(
        "--registry-secret",
        metavar="SECRET",
        help="The secret that holds USER:PASSWORD of the image's registry.",
    ),
)

KEYS = {
    "image": "image",
    "entrypoint": "entrypoint",
    "pull": "pull",
    "memory": "memory",
    "cpus": "cpus",
    "pids": "pids",
    "network": "network",
    "volume": "volumes",
    "user": "user",
    "read_only": "read_only",
    "tmpfs": "tmpfs",
    "shm_size": "shm_size",
    "platform": "platform",
    "registry_secret": "registry_secret",
}
"""The name of each flag in the code → its key in the spec."""


def image_keys(flags: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Gives the keys of the flags that were given."""
    for flag, key in KEYS.items():
        value = flags[flag]
        if isinstance(value, tuple):
            value = list(value)
        if not (value is None or value is False or value == []):  # 0 is given
            yield key, value
