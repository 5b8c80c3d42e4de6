"""The settings of a worker. They are checked once, at its start; an invalid one is explained."""

import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hodei.domain import durations
from hodei.tls.address import Address, BadAddress, parse_all
from hodei.tls.bad import BadTls
from hodei.tls.caller import NO_TLS, Tls
from hodei_worker.containers.settings import DEFAULT_SOCKET

if TYPE_CHECKING:
    from hodei_worker.registrar_key import RegistrarKey


class BadSetting(Exception):
    """The message names the setting, and says what was expected and what was given."""


INVALID_TOKEN = "Invalid OTP token: OTP token must be a UUID"  # noqa: S105  the words that the guide searches for
CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
"""Control characters, and what Python makes of bytes that are no UTF-8."""

RESERVED = "hodei/"  # at the beginning of a label: servers make it from its capabilities
LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
PROJECT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True)
class ContainerFlags:
    """What a worker that runs container jobs lets them use."""

    socket: str = DEFAULT_SOCKET  # path of the engine's socket
    images: tuple[str, ...] = ()  # patterns; none: any image
    volumes: tuple[str, ...] = ()  # patterns; none: no volume
    networks: tuple[str, ...] = ()  # besides bridge and none
    pull_policy: str = "missing"  # or "always" or "never", which a job cannot change

    def __post_init__(self) -> None:
        if not self.socket.startswith("/"):
            raise BadSetting(f"--docker-socket: expected an absolute path, got {self.socket!r}")
        for pattern in self.volumes:
            if not pattern.startswith("/"):
                raise BadSetting(
                    f"--allow-volume: expected a pattern that begins with /, got {pattern!r}"
                )
        for network in self.networks:
            if network.startswith("container:"):
                raise BadSetting(
                    f"--allow-network: expected the name of a network, got {network!r};"
                    " the network of another container is never allowed"
                )


@dataclass(frozen=True)
class Settings:
    servers: tuple[Address, ...]
    token: str | None  # needed only to register
    slots: int
    labels: dict[str, str]
    state_dir: Path
    name: str
    job_user: str | None = None
    log_limit: int = 100 << 20  # bytes of one attempt's log; 0: no limit
    on_worker_exit: str = "keep"  # or "kill"
    drain_s: float = 30.0  # that a stopping worker waits for its jobs
    on_disconnect: str = "keep"  # or "stop"
    containers: ContainerFlags | None = None  # None: no container jobs
    processes: bool = True  # False: only container jobs
    tls: Tls = NO_TLS
    projects: tuple[str, ...] = ()  # whose jobs alone it takes; none: of all
    most_jobs: int = 0  # after which the worker ends; 0: no limit
    key: "RegistrarKey | None" = None  # to register without a token

    def __post_init__(self) -> None:
        try:
            self.tls.check(self.servers)
        except BadTls as error:
            raise BadSetting(str(error)) from None
        if not 1 <= self.slots <= 10_000:
            raise BadSetting(f"--slots: expected 1 to 10000, got {self.slots}")
        if CONTROLS.search(str(self.state_dir)):
            raise BadSetting(
                "--state-dir: expected a path in UTF-8 without control characters, got "
                f"{str(self.state_dir)[:80]!r}"
            )
        if not 1 <= len(self.name) <= 200 or CONTROLS.search(self.name):
            raise BadSetting(
                f"--name: expected 1 to 200 characters without control characters, got {self.name[:80]!r}"
            )
        if (
            len(self.labels) > 100
            or sum(len(k.encode()) + len(v.encode()) for k, v in self.labels.items()) > 32_768
        ):
            raise BadSetting(
                f"--label: expected at most 100 labels of 32768 bytes in all, got {len(self.labels)}"
            )
        if len(self.projects) > 100:
            raise BadSetting(f"--project: expected at most 100 projects, got {len(self.projects)}")
        if self.log_limit < 0:
            raise BadSetting(
                f"--log-limit: expected a number of bytes (0: no limit), got {self.log_limit}"
            )
        if self.token is not None:
            try:
                uuid.UUID(self.token)
            except ValueError:
                raise BadSetting(INVALID_TOKEN) from None


def addresses(text: str, *, tls: bool) -> tuple[Address, ...]:
    """Reads HOST:PORT[,HOST:PORT…]; each may begin with http:// or https://. `tls` says what it means
    without. Raises BadSetting."""
    try:
        return parse_all(text, tls=tls)
    except BadAddress as error:
        raise BadSetting(f"--server: {error}") from None


def projects(given: tuple[str, ...]) -> tuple[str, ...]:
    """Reads PROJECT[,PROJECT…] from each text. Raises BadSetting."""
    found = tuple(dict.fromkeys(part for text in given for part in text.split(",")))
    for name in found:
        if not PROJECT.fullmatch(name):
            raise BadSetting(
                "--project: expected 1 to 63 letters, digits and . _ -, with a letter or a digit first,"
                f" got {name[:80]!r}"
            )
    return found


def seconds(text: str, flag: str) -> float:
    """Reads a duration, as 90s or 2m. Raises BadSetting."""
    value = durations.seconds(text)
    if value is None:
        raise BadSetting(durations.refusal(flag, text))
    return float(value)


def labels(given: tuple[str, ...]) -> dict[str, str]:
    """Reads KEY=VALUE[,KEY=VALUE…] from each text. The last value of a key is kept. Raises
    BadSetting."""
    found: dict[str, str] = {}
    for text in given:
        for part in filter(None, text.split(",")):
            key, separator, value = part.partition("=")
            if (
                not separator
                or not LABEL.fullmatch(key)
                or len(value) > 255
                or CONTROLS.search(value)
            ):
                raise BadSetting(
                    f"--label: expected KEY=VALUE, with a key of up to 63 letters, digits, . _ / -, got {part!r}"
                )
            if key.startswith(RESERVED):
                raise BadSetting(
                    f"--label: labels that begin with {RESERVED} are given by servers, got {part!r}"
                )
            found[key] = value
    return found
