"""What a row of provider_configs says: where workers are made on demand, which and how many.

A row may be written by hand: `read` takes any case of its words, has a default for each key, and
refuses the rest in words that name the key."""

import json
import uuid
from dataclasses import dataclass, field
from enum import StrEnum

from hodei.domain import provider_keys as keys
from hodei.domain.errors import Invalid
from hodei.domain.provider_keys import MOST_WORKERS, Config, as_given
from hodei.domain.text import shown


class Status(StrEnum):
    """What a row may say in `status`, in any case. Any other word is shown, and the row ignored."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"  # nothing is made; workers that are idle are removed as ever
    DEGRADED = "DEGRADED"  # what was made failed again and again: it is tried ever more rarely


TYPES = ("Docker",)
"""The known values of `provider_type`, as they are shown."""


@dataclass(frozen=True, slots=True)
class Settings:
    """A row's settings, checked: a field for each of provider_keys.KEYS. Times are seconds."""

    provider_id: uuid.UUID
    name: str
    kind: str  # one of TYPES, in lower case
    max_workers: int
    socket_path: str = keys.SOCKET_PATH.default
    host: str = keys.HOST.default  # tcp://HOST:PORT in place of the socket
    tls_ca: str = keys.TLS_CA.default  # files on the servers' hosts, for `host`
    tls_cert: str = keys.TLS_CERT.default
    tls_key: str = keys.TLS_KEY.default
    image: str = keys.IMAGE.default
    network: str = keys.NETWORK.default
    slots: int = keys.SLOTS.default
    labels: dict[str, str] = field(default_factory=dict)
    server_address: tuple[str, ...] = ()  # HOST:PORT; empty: the server's --advertise
    server_ca: str = (
        keys.SERVER_CA.default
    )  # a file on the servers' hosts: CAs of their certificates
    warm_slots: int = keys.WARM_SLOTS.default
    idle_time_s: float = keys.IDLE_TIME.default
    boot_timeout_s: float = keys.BOOT_TIMEOUT.default
    ephemeral: bool = keys.EPHEMERAL.default
    docker_socket: bool = keys.DOCKER_SOCKET.default
    job_user: str = keys.JOB_USER.default

    @property
    def place(self) -> str:
        """Where the engine is, for people."""
        return self.host or self.socket_path


def status_of(text: str) -> Status | None:
    """Returns the status that a row means; None: it is not known."""
    try:
        return Status(text.strip().upper())
    except ValueError:
        return None


def read(
    provider_id: uuid.UUID, name: str, provider_type: str, config: str, max_workers: int
) -> Settings:
    """Returns the settings of a row; `config` is its JSON. Invalid: what is wrong with it, by its
    column or key."""
    kind = provider_type.strip().lower()
    if kind not in [known.lower() for known in TYPES]:
        raise Invalid(
            f"provider_type: expected {' or '.join(TYPES)}, got {as_given(provider_type)}"
        )
    if not 0 <= max_workers <= MOST_WORKERS:
        raise Invalid(f"max_workers: expected 0 to {MOST_WORKERS}, got {max_workers}")
    settings = _settings(provider_id, name, kind, max_workers, _object(config))
    _check_place(settings)
    if settings.ephemeral and settings.slots != 1:
        raise Invalid(f"config.slots: expected 1 with ephemeral, got {settings.slots}")
    return settings


def _object(config: str) -> Config:
    try:
        found = json.loads(config)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Invalid(f"config: expected a JSON object, got {as_given(config)}")
    names = [key.name for key in keys.KEYS]
    if unknown := sorted(set(found) - set(names)):
        raise Invalid(f"config: expected keys among {', '.join(names)}, got {as_given(unknown[0])}")
    return found


def _settings(
    provider_id: uuid.UUID, name: str, kind: str, max_workers: int, config: Config
) -> Settings:
    return Settings(
        provider_id=provider_id,
        name=name,
        kind=kind,
        max_workers=max_workers,
        socket_path=keys.SOCKET_PATH.read(config).removeprefix("unix://"),
        host=keys.HOST.read(config),
        tls_ca=keys.TLS_CA.read(config),
        tls_cert=keys.TLS_CERT.read(config),
        tls_key=keys.TLS_KEY.read(config),
        image=keys.IMAGE.read(config),
        network=keys.NETWORK.read(config),
        slots=keys.SLOTS.read(config),
        labels=keys.LABELS.read(config),
        server_address=keys.SERVER_ADDRESS.read(config),
        server_ca=keys.SERVER_CA.read(config),
        warm_slots=keys.WARM_SLOTS.read(config),
        idle_time_s=keys.IDLE_TIME.read(config),
        boot_timeout_s=keys.BOOT_TIMEOUT.read(config),
        ephemeral=keys.EPHEMERAL.read(config),
        docker_socket=keys.DOCKER_SOCKET.read(config),
        job_user=keys.JOB_USER.read(config),
    )


def _check_place(settings: Settings) -> None:
    if not settings.host:
        if not settings.socket_path.startswith("/"):
            raise Invalid(
                "config.socket_path: expected an absolute path, got"
                f" {as_given(settings.socket_path)}"
            )
        return
    scheme, _, address = settings.host.partition("://")
    if scheme != "tcp" or not keys.ADDRESS.fullmatch(address):
        raise Invalid(f"config.host: expected tcp://HOST:PORT, got {as_given(settings.host)}")
    for key, path in zip(
        keys.TLS_FILES, (settings.tls_ca, settings.tls_cert, settings.tls_key), strict=True
    ):
        if not path.startswith("/"):
            raise Invalid(
                f"config.{key.name}: expected the path of a file on the servers' hosts, since an"
                f" engine at {shown(settings.host)} is used with TLS only, got {as_given(path)}"
            )
