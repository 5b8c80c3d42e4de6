"""The flags of `hodei provider add`, which become the keys of a provider's config."""

import json
import re
import uuid
from collections.abc import Callable
from typing import Any

import click

from hodei.domain import provider, provider_keys
from hodei.domain.errors import Invalid

TEXTS = {
    "socket_path": (
        "PATH",
        "The engine's socket on the servers' hosts.",
        provider_keys.SOCKET_PATH.default,
    ),
    "host": ("tcp://HOST:PORT", "The engine's address, with TLS, in place of a socket.", ""),
    "tls_ca": ("FILE", "CA of that address, on the servers' hosts.", ""),
    "tls_cert": ("FILE", "Certificate for it, on the servers' hosts.", ""),
    "tls_key": ("FILE", "Key of the certificate, on the servers' hosts.", ""),
    "image": ("IMAGE", "The workers' image, which must be on the engine.", "hodei:<version>"),
    "network": ("NAME", "A network of the engine.", "bridge"),
    "server_address": ("HOST:PORT[,…]", "Where workers connect to.", "what servers advertise"),
    "server_ca": ("FILE", "CAs of the servers' certificates, on the servers' hosts.", ""),
    "idle_time": ("TIME", "How long a worker is idle before it is removed.", "5m"),
    "boot_timeout": ("TIME", "How long a worker may take until it is connected.", "2m"),
    "job_user": ("USER", "The user of the image that jobs run as.", "hodei"),
}
NUMBERS = {
    "slots": ("Jobs that one worker runs at a time.", "1"),
    "warm_slots": ("Slots that are kept free while nothing waits.", "0"),
}
SWITCHES = {
    "ephemeral": "Each worker runs one job and ends.",
    "docker_socket": "Workers get the engine's socket: they are root on its host.",
}


def config_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds a flag for each key, and `--label`. Servers have the defaults: these are only shown."""
    for key, about in reversed(SWITCHES.items()):
        command = click.option(_flag(key), is_flag=True, help=about)(command)
    for key, (about, default) in reversed(NUMBERS.items()):
        command = click.option(
            _flag(key), type=int, metavar="NUMBER", help=about, show_default=default
        )(command)
    for key, (metavar, about, default) in reversed(TEXTS.items()):
        command = click.option(
            _flag(key), metavar=metavar, help=about, show_default=default or False
        )(command)
    label = click.option(
        "--label", "label", multiple=True, metavar="K=V", help="A label of workers; repeatable."
    )
    return label(command)


def config_of(given: dict[str, Any]) -> dict[str, Any]:
    """The keys of which a flag was given."""
    config = {
        key: value
        for key, value in given.items()
        if key != "label" and value is not None and value is not False
    }
    labels = {}
    for text in given["label"]:
        key, separator, value = text.partition("=")
        if not separator:
            raise click.UsageError(f"--label: expected K=V, got {text[:80]!r}")
        labels[key] = value
    return config | ({"labels": labels} if labels else {})


def check(config: dict[str, Any], max_workers: int) -> None:
    """Checks the keys as servers do, to name a wrong one by its flag. UsageError."""
    kind, text = provider.TYPES[0], json.dumps(config)
    try:
        provider.read(uuid.UUID(int=0), "", kind, text, max_workers)
    except Invalid as error:
        raise click.UsageError(_of_flag(str(error))) from None


def _of_flag(words: str) -> str:
    """Words about `config.KEY`, or about one of its labels, as words about the flag."""
    found = re.match(r"config\.(\w+)(?:\.([^:]+))?: ", words)
    if found is None:
        return words
    key, name = found.groups()
    flag = f"--label {name}" if name else "--label" if key == "labels" else _flag(key)
    return f"{flag}: {words[found.end() :]}"


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"
