"""What a row of provider_configs says: where workers are made on demand, which and how many.

A row may be written by hand: `read` takes any case of its words, has a default for each key, and
refuses the rest in words that name the key."""

import json
import re
import uuid
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import hodei
from hodei.domain import durations
from hodei.domain.errors import Invalid
from hodei.domain.text import shown


class Status(StrEnum):
    """What a row may say in `status`, in any case. Any other word is shown, and the row ignored."""

    ACTIVE = "ACTIVE"
    PAUSED = "PAUSED"  # nothing is made; workers that are idle are removed as ever
    DEGRADED = "DEGRADED"  # what was made failed again and again: it is tried ever more rarely


TYPES = ("Docker",)
"""The known values of `provider_type`, as they are shown."""

DEFAULT_IMAGE = f"hodei:{hodei.__version__}"

DEFAULT_SOCKET = "/var/run/docker.sock"

MOST_WORKERS = 1000
"""Workers that one provider may have."""

MOST_SLOTS = 1000

LONGEST_TEXT = 1000
"""Characters of a text in `config`."""

MOST_LABELS = 50

LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
ADDRESS = re.compile(r"[\w.\-\[\]:]+:[0-9]{1,5}", re.ASCII)
RESERVED = "hodei/"  # at the beginning of a label: servers make it from capabilities


@dataclass(frozen=True, slots=True)
class Settings:
    """A row's settings, checked. Times are seconds."""

    provider_id: uuid.UUID
    name: str
    kind: str  # one of TYPES, in lower case
    max_workers: int
    socket_path: str = DEFAULT_SOCKET
    host: str = ""  # tcp://HOST:PORT in place of the socket
    tls_ca: str = ""  # files on the servers' hosts, for `host`
    tls_cert: str = ""
    tls_key: str = ""
    image: str = ""
    network: str = "bridge"
    slots: int = 1
    labels: dict[str, str] = field(default_factory=dict)
    server_address: tuple[str, ...] = ()  # HOST:PORT; empty: the server's --advertise
    server_ca: str = ""  # a file on the servers' hosts, with the CAs of their certificates
    warm_slots: int = 0
    idle_time_s: float = 300.0
    boot_timeout_s: float = 120.0
    ephemeral: bool = False
    docker_socket: bool = False
    job_user: str = "hodei"

    @property
    def place(self) -> str:
        """Where the engine is, for people."""
        return self.host or self.socket_path


KEYS = (
    *("socket_path", "host", "tls_ca", "tls_cert", "tls_key", "image", "network", "slots"),
    *(
        "labels",
        "server_address",
        "server_ca",
        "warm_slots",
        "idle_time",
        "boot_timeout",
        "ephemeral",
    ),
    *("docker_socket", "job_user"),
)
"""The keys of `config`."""


def status_of(text: str) -> Status | None:
    """Returns the status that a row means; None: it is not known."""
    try:
        return Status(text.strip().upper())
    except ValueError:
        return None


def read(
    provider_id: uuid.UUID,
    name: str,
    provider_type: str,
    config: str,
    max_workers: int,
    default_image: str,
) -> Settings:
    """Returns the settings of a row; `config` is its JSON. Invalid: what is wrong with it, by its
    column or key."""
    kind = provider_type.strip().lower()
    if kind not in [known.lower() for known in TYPES]:
        raise Invalid(f"provider_type: expected {' or '.join(TYPES)}, got {_quoted(provider_type)}")
    if not 0 <= max_workers <= MOST_WORKERS:
        raise Invalid(f"max_workers: expected 0 to {MOST_WORKERS}, got {max_workers}")
    settings = Settings(
        provider_id, name, kind, max_workers, **_config(_object(config), default_image)
    )
    _check_place(settings)
    if settings.ephemeral and settings.slots != 1:
        raise Invalid(f"config.slots: expected 1 with ephemeral, got {settings.slots}")
    return settings


def _object(config: str) -> dict[str, Any]:
    try:
        found = json.loads(config)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Invalid(f"config: expected a JSON object, got {_quoted(config)}")
    if unknown := sorted(set(found) - set(KEYS)):
        raise Invalid(f"config: expected keys among {', '.join(KEYS)}, got {_quoted(unknown[0])}")
    return found


def _config(given: dict[str, Any], default_image: str) -> dict[str, Any]:
    """The keys of `config` as fields of Settings, with their defaults."""
    text, flag = _Texts(given), _Flags(given)
    return {
        "socket_path": text.get("socket_path", DEFAULT_SOCKET).removeprefix("unix://"),
        "host": text.get("host", ""),
        "tls_ca": text.get("tls_ca", ""),
        "tls_cert": text.get("tls_cert", ""),
        "tls_key": text.get("tls_key", ""),
        "image": text.get("image", "") or default_image,
        "network": text.get("network", "") or "bridge",
        "slots": _number(given, "slots", 1, 1, MOST_SLOTS),
        "labels": _labels(given.get("labels", {})),
        "server_address": addresses(text.get("server_address", ""), "config.server_address"),
        "server_ca": _path(text, "server_ca"),
        "warm_slots": _number(given, "warm_slots", 0, 0, MOST_WORKERS * MOST_SLOTS),
        "idle_time_s": _duration(given, "idle_time", 300.0, 1.0),
        "boot_timeout_s": _duration(given, "boot_timeout", 120.0, 5.0),
        "ephemeral": flag.get("ephemeral"),
        "docker_socket": flag.get("docker_socket"),
        "job_user": text.get("job_user", "") or "hodei",
    }


def _path(text: "_Texts", key: str) -> str:
    """The absolute path of a file, or nothing."""
    path = text.get(key, "")
    if path and not path.startswith("/"):
        raise Invalid(f"config.{key}: expected an absolute path, got {_quoted(path)}")
    return path


def _check_place(settings: Settings) -> None:
    if not settings.host:
        if not settings.socket_path.startswith("/"):
            raise Invalid(
                "config.socket_path: expected an absolute path,"
                f" got {_quoted(settings.socket_path)}"
            )
        return
    scheme, _, address = settings.host.partition("://")
    if scheme != "tcp" or not ADDRESS.fullmatch(address):
        raise Invalid(f"config.host: expected tcp://HOST:PORT, got {_quoted(settings.host)}")
    for key in ("tls_ca", "tls_cert", "tls_key"):
        if not getattr(settings, key).startswith("/"):
            raise Invalid(
                f"config.{key}: expected the path of a file on the servers' hosts, since an engine"
                f" at {shown(settings.host)} is used with TLS only,"
                f" got {_quoted(getattr(settings, key))}"
            )


def addresses(text: str, what: str) -> tuple[str, ...]:
    """Reads HOST:PORT[,HOST:PORT…]; each may begin with http:// or https://. Invalid names
    `what`."""
    found = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    for address in found:
        bare = re.sub(r"\Ahttps?://", "", address)
        if not ADDRESS.fullmatch(bare) or not 0 < int(bare.rpartition(":")[2]) < 65536:
            raise Invalid(f"{what}: expected HOST:PORT[,HOST:PORT…], got {_quoted(text)}")
    return found


def _labels(given: Any) -> dict[str, str]:
    if not isinstance(given, dict) or len(given) > MOST_LABELS:
        raise Invalid(
            f"config.labels: expected an object of at most {MOST_LABELS} labels,"
            f" got {_quoted(json.dumps(given))}"
        )
    for key, value in given.items():
        if not LABEL.fullmatch(key) or key.startswith(RESERVED):
            raise Invalid(
                "config.labels: expected names of up to 63 letters, digits, . _ / - that do not"
                f" begin with {RESERVED}, got {_quoted(key)}"
            )
        if not isinstance(value, str) or len(value) > 255 or "," in value or not _plain(value):
            raise Invalid(
                f"config.labels.{key}: expected a text of up to 255 characters without commas,"
                f" got {_quoted(json.dumps(value))}"
            )
    return given


def _number(given: dict[str, Any], key: str, default: int, least: int, most: int) -> int:
    value = given.get(key, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Invalid(
            f"config.{key}: expected a number from {least} to {most},"
            f" got {_quoted(json.dumps(value))}"
        )
    return value


def _duration(given: dict[str, Any], key: str, default: float, least: float) -> float:
    """Seconds: a number, or a text as 5m."""
    value = given.get(key, default)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    found = durations.seconds(str(value)) if number or isinstance(value, str) else None
    if found is None or not least <= found <= 365 * 86400:
        raise Invalid(
            f"config.{key}: expected a time of {least:g} s to 365 days, as {durations.EXAMPLES},"
            f" got {_quoted(json.dumps(value))}"
        )
    return float(found)


@dataclass(frozen=True, slots=True)
class _Texts:
    given: dict[str, Any]

    def get(self, key: str, default: str) -> str:
        value = self.given.get(key, default)
        if not isinstance(value, str) or len(value) > LONGEST_TEXT or not _plain(value):
            raise Invalid(
                f"config.{key}: expected a text without control characters,"
                f" got {_quoted(json.dumps(value))}"
            )
        return value.strip()


@dataclass(frozen=True, slots=True)
class _Flags:
    given: dict[str, Any]

    def get(self, key: str) -> bool:
        value = self.given.get(key, False)
        if not isinstance(value, bool):
            raise Invalid(f"config.{key}: expected true or false, got {_quoted(json.dumps(value))}")
        return value


def _plain(text: str) -> bool:
    return shown(text) == text


def _quoted(text: str) -> str:
    """What was given, short enough for a message."""
    return f'"{shown(text[:80])}"'
