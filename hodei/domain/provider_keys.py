"""The keys of a provider's `config`: kind, default and bounds of each, in one place.

`provider.Settings` has a field for each of them. The flags of `hodei provider add` and the table in
docs/workers-on-demand.md are compared with them (tests/cli/test_provider_keys.py)."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import hodei
from hodei.domain import durations
from hodei.domain.errors import Invalid
from hodei.domain.text import shown

MOST_WORKERS = 1000
"""Workers that one provider may have."""

MOST_SLOTS = 1000
"""Slots that one worker may have."""

LONGEST_TEXT = 1000
"""Characters of a text in `config`."""

LONGEST_TIME_S = 365 * 86400

MOST_LABELS = 50

LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,62}")
ADDRESS = re.compile(r"[\w.\-\[\]:]+:[0-9]{1,5}", re.ASCII)
RESERVED = "hodei/"  # at the beginning of a label: servers make it from capabilities

Config = Mapping[str, Any]
"""A `config` as JSON, each value of any type."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text without control characters, of LONGEST_TEXT at most; an empty one is the default."""

    name: str
    default: str = ""

    def read(self, config: Config) -> str:
        """Invalid: it is something else, as with the other kinds."""
        value = config.get(self.name, self.default)
        if not isinstance(value, str) or len(value) > LONGEST_TEXT or not is_plain(value):
            raise Invalid(
                f"config.{self.name}: expected a text without control characters, got"
                f" {as_given(value)}"
            )
        return value.strip() or self.default


@dataclass(frozen=True, slots=True)
class File(Text):
    """The absolute path of a file, or nothing."""

    def read(self, config: Config) -> str:
        path = Text.read(self, config)
        if path and not path.startswith("/"):
            raise Invalid(f"config.{self.name}: expected an absolute path, got {as_given(path)}")
        return path


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number from `least` to `most`."""

    name: str
    default: int
    least: int
    most: int

    def read(self, config: Config) -> int:
        value = config.get(self.name, self.default)
        whole = isinstance(value, int) and not isinstance(value, bool)
        if not whole or not self.least <= value <= self.most:
            raise Invalid(
                f"config.{self.name}: expected a number from {self.least} to {self.most}, got"
                f" {as_given(value)}"
            )
        return int(value)


@dataclass(frozen=True, slots=True)
class Time:
    """Seconds from `least` to LONGEST_TIME_S: a number, or a text as 5m. Its field in Settings has
    the name with `_s`."""

    name: str
    default: float
    least: float

    def read(self, config: Config) -> float:
        value = config.get(self.name, self.default)
        number = isinstance(value, int | float) and not isinstance(value, bool)
        found = durations.seconds(str(value)) if number or isinstance(value, str) else None
        if found is None or not self.least <= found <= LONGEST_TIME_S:
            raise Invalid(
                f"config.{self.name}: expected a time of {self.least:g} s to 365 days, as"
                f" {durations.EXAMPLES}, got {as_given(value)}"
            )
        return float(found)


@dataclass(frozen=True, slots=True)
class Switch:
    """True or false; false by default."""

    name: str
    default: bool = False

    def read(self, config: Config) -> bool:
        value = config.get(self.name, self.default)
        if not isinstance(value, bool):
            raise Invalid(f"config.{self.name}: expected true or false, got {as_given(value)}")
        return value


@dataclass(frozen=True, slots=True)
class Labels:
    """Labels of workers, MOST_LABELS at most; none by default."""

    name: str

    def read(self, config: Config) -> dict[str, str]:
        given = config.get(self.name, {})
        if not isinstance(given, dict) or len(given) > MOST_LABELS:
            raise Invalid(
                f"config.{self.name}: expected an object of at most {MOST_LABELS} labels, got"
                f" {as_given(given)}"
            )
        for key, value in given.items():
            if not LABEL.fullmatch(key) or key.startswith(RESERVED):
                raise Invalid(
                    f"config.{self.name}: expected names of up to 63 letters, digits, . _ / - that"
                    f" do not begin with {RESERVED}, got {as_given(key)}"
                )
            if (
                not isinstance(value, str)
                or len(value) > 255
                or "," in value
                or not is_plain(value)
            ):
                raise Invalid(
                    f"config.{self.name}.{key}: expected a text of up to 255 characters without"
                    f" commas, got {as_given(value)}"
                )
        return given


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses of servers, as `addresses` reads them; none by default."""

    name: str

    def read(self, config: Config) -> tuple[str, ...]:
        return addresses(Text(self.name).read(config), f"config.{self.name}")


def addresses(text: str, what: str) -> tuple[str, ...]:
    """Reads HOST:PORT[,HOST:PORT…]; each may begin with http:// or https://. Invalid names
    `what`."""
    found = tuple(part.strip().rstrip("/") for part in text.split(",") if part.strip())
    for address in found:
        bare = re.sub(r"\Ahttps?://", "", address)
        if not ADDRESS.fullmatch(bare) or not 0 < int(bare.rpartition(":")[2]) < 65536:
            raise Invalid(f"{what}: expected HOST:PORT[,HOST:PORT…], got {as_given(text)}")
    return found


def is_plain(text: str) -> bool:
    """Whether a text has no control characters."""
    return shown(text) == text


def as_given(value: Any) -> str:
    """A value of JSON as it was given, short enough for a message."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except RecursionError:
        return "values in one another, too deep"
    return shown(text if len(text) <= 80 else f"{text[:80]}…")


SOCKET_PATH = Text("socket_path", "/var/run/docker.sock")
HOST = Text("host")
TLS_CA = Text("tls_ca")
TLS_CERT = Text("tls_cert")
TLS_KEY = Text("tls_key")
IMAGE = Text("image", f"hodei:{hodei.__version__}")
NETWORK = Text("network", "bridge")
SLOTS = Number("slots", 1, 1, MOST_SLOTS)
LABELS = Labels("labels")
SERVER_ADDRESS = Addresses("server_address")
SERVER_CA = File("server_ca")
WARM_SLOTS = Number("warm_slots", 0, 0, MOST_WORKERS * MOST_SLOTS)
IDLE_TIME = Time("idle_time", 300.0, 1.0)
BOOT_TIMEOUT = Time("boot_timeout", 120.0, 5.0)
EPHEMERAL = Switch("ephemeral")
DOCKER_SOCKET = Switch("docker_socket")
JOB_USER = Text("job_user", "hodei")

TLS_FILES = (TLS_CA, TLS_CERT, TLS_KEY)
"""What an engine at HOST needs."""

KEYS = (
    *(SOCKET_PATH, HOST, *TLS_FILES, IMAGE, NETWORK, SLOTS, LABELS, SERVER_ADDRESS, SERVER_CA),
    *(WARM_SLOTS, IDLE_TIME, BOOT_TIMEOUT, EPHEMERAL, DOCKER_SOCKET, JOB_USER),
)
"""All keys, in the order in which messages and the page have them."""
