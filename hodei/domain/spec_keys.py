"""The keys of a job's spec and the rules of their values, written down once.

hodei/domain/spec.py applies them in Python; `tools/spec-sql` writes them into schema.sql, where
hodei_normalise_spec applies them in PostgreSQL. docs/job-spec.md tells users what each key means.
"""

from dataclasses import dataclass

from hodei.domain import secret

MOST_BYTES = 262_144
"""JSON of a whole spec, in UTF-8. A larger one is refused."""

LONGEST_ARGUMENT = 131_071
"""Bytes of one argument and of one NAME=VALUE that Linux lets a program start with
(MAX_ARG_STRLEN less its NUL)."""

A_YEAR_S = 31_536_000


@dataclass(frozen=True, slots=True)
class Text:
    """A string of 1 to `longest` characters. `pattern` is a regular expression that Python and
    PostgreSQL read alike; `shape` says it in words. `controls`: may hold control characters."""

    key: str
    longest: int
    pattern: str = ""
    shape: str = ""
    controls: bool = False


@dataclass(frozen=True, slots=True)
class Number:
    """A number from `at_least` to `at_most`: seconds that are rounded to milliseconds (places 3)
    and may be given as text (durations.py), or a whole number (places 0). The bounds hold before
    the rounding."""

    key: str
    at_least: str
    at_most: str
    places: int


@dataclass(frozen=True, slots=True)
class Map:
    """An object of strings: at most `most` entries with names of a shape. `longest` characters a
    value, or, where it is 0, NAME=VALUE of at most LONGEST_ARGUMENT bytes, or {"secret": "name"}.
    `controls`: values may hold control characters."""

    key: str
    most: int
    pattern: str
    shape: str
    longest: int
    controls: bool = False


@dataclass(frozen=True, slots=True)
class Codes:
    """A list of exit codes from 1 to 255, at most 255 of them."""

    key: str


@dataclass(frozen=True, slots=True)
class Texts:
    """A list of at most `most` strings of 1 to `longest` characters without control characters, of
    a shape."""

    key: str
    most: int
    longest: int
    pattern: str
    shape: str


@dataclass(frozen=True, slots=True)
class Flag:
    """true or false."""

    key: str


Rule = Text | Number | Map | Codes | Texts | Flag


STOP_SIGNALS = ("TERM", "INT", "HUP", "QUIT", "USR1", "USR2")
"""Signals with which a job may want to be stopped."""

UUID = "^[0-9a-fA-F]{8}-([0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$"
RUN_AT = (
    "^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    "T([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9]([.][0-9]{1,6})?)?(Z|[+-](0[0-9]|1[0-5]):[0-5][0-9])$"
)
RUN_AT_SHAPE = "a time of the years 2000 to 2999 with its offset, as 2026-01-31T12:00:00Z"

KNOWN = (
    "id",
    "name",
    "command",
    "script",
    "interpreter",
    "env",
    "workdir",
    "stdin",
    "stdin_base64",
    "timeout",
    "grace",
    "priority",
    "labels",
    "retries",
    "on_lost",
    "correlation_id",
    "actor",
    "run_at",
    "log_limit",
    "queue_timeout",
    "start_timeout",
    "silence_timeout",
    "final_exit_codes",
    "umask",
    "term",
    "image",
    "entrypoint",
    "pull",
    "memory",
    "cpus",
    "pids",
    "network",
    "volumes",
    "user",
    "read_only",
    "tmpfs",
    "shm_size",
    "platform",
    "registry_secret",
)
"""Every key. Those without a rule below have one of their own in spec.py and schema.sql: what to
run, and what the job reads."""

OF_IMAGES = KNOWN[KNOWN.index("image") + 1 :]
"""Keys that need an image: those of a container."""

EXECUTOR = "hodei/executor"
"""The label that the stored form of a container job has, with the value `docker`. It is made anew
from the spec each time. Servers give it to workers that run containers: so a server or a worker that
knows nothing of containers never runs such a job."""

CONTAINERS_ONLY = "hodei/containers-only"
"""The label, with the value `yes`, of a worker that runs no plain processes. Servers give it; what
it means for a claim is in worker.py."""

SECRETS, LABEL_VALUE = "hodei/secrets", "yes"
"""The label, with its value, that the stored form of a job with secrets has. It is made anew from
the spec each time. A server that can decrypt gives it to workers that mask: so no other ever gets
such a job."""

START_TIMEOUT_S = 600
"""The start_timeout of a container job whose spec gives none: its image may have to be pulled."""

IMAGE_PART = "[A-Za-z0-9][A-Za-z0-9._-]*"
IMAGE = (
    f"^([A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?/)?{IMAGE_PART}(/{IMAGE_PART})*"
    "(:[A-Za-z0-9_][A-Za-z0-9._-]*)?(@[a-z0-9]+:[0-9a-fA-F]+)?$"
)
"""[REGISTRY[:PORT]/]PART[/PART…][:TAG][@ALGORITHM:HEX]. No part is empty, `.` or `..`."""

MEMORY = "^([0-9]{1,15}[bB]?|[0-9]{1,12}[kK]|[0-9]{1,9}[mM]|[0-9]{1,6}[gG])$"
MEMORY_SHAPE = 'a number of bytes as text, as "512m" or "2g", at most 999999g'
"""The most digits of each unit with which an engine can count the bytes (in 63 bits)."""

RULES: tuple[Rule, ...] = (
    Text("id", 36, UUID, "a UUID"),
    Text("name", 200),
    Text("actor", 200),
    Text("correlation_id", 200),
    Text("workdir", 4096, "^/", "an absolute path", controls=True),
    Text("on_lost", 5, "^(rerun|fail)$", '"rerun" or "fail"'),
    Number("timeout", "0.001", str(A_YEAR_S), 3),
    Number("queue_timeout", "0.001", str(A_YEAR_S), 3),
    Number("start_timeout", "0.001", str(A_YEAR_S), 3),
    Number("silence_timeout", "0.001", str(A_YEAR_S), 3),
    Number("grace", "0", "600", 3),
    Number("priority", "-1000", "1000", 0),
    Number("retries", "0", "1000", 0),
    Number("log_limit", "0", "1000000000000", 0),
    Codes("final_exit_codes"),
    Text("umask", 20, "^0[0-7][0-7][0-7]$", 'a text of four octal digits, as "0022"'),
    Text("term", 20, f"^({'|'.join(STOP_SIGNALS)})$", f"one of {', '.join(STOP_SIGNALS)}"),
    Text(
        "image",
        512,
        IMAGE,
        "the name of an image, as busybox or registry.example:5000/team/tool:1.2",
    ),
    Text("entrypoint", 4096, controls=True),
    Text("pull", 10, "^(always|missing|never)$", '"always", "missing" or "never"'),
    Text("memory", 16, MEMORY, MEMORY_SHAPE),
    Text("cpus", 8, "^[0-9]{1,4}([.][0-9]{1,3})?$", 'a number of processors as text, as "1.5"'),
    Number("pids", "1", "4194304", 0),
    Text("network", 128, "^[A-Za-z0-9][A-Za-z0-9_.-]*$", "the name of a network"),
    Texts(
        "volumes", 100, 8200, "^/[^:]*:/[^:]*(:(ro|rw))?$", "/SOURCE:/TARGET or /SOURCE:/TARGET:ro"
    ),
    Text("user", 200, "^[^:]+(:[^:]+)?$", "USER or USER:GROUP, names or numbers"),
    Flag("read_only"),
    Texts("tmpfs", 100, 4200, "^/", "/PATH or /PATH:OPTIONS"),
    Text("shm_size", 16, MEMORY, MEMORY_SHAPE),
    Text("platform", 100, "^[a-z0-9]+(/[a-z0-9]+){1,2}$", "OS/ARCHITECTURE, as linux/arm64"),
    Text("registry_secret", 100, secret.NAME, secret.NAME_SHAPE),
    Map(
        "env", 1000, "^[A-Za-z_][A-Za-z0-9_]*$", "names of letters, digits and _", 0, controls=True
    ),
    Map(
        "labels",
        32,
        "^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$",
        "names of up to 63 letters, digits, . _ / -",
        255,
    ),
    Text("run_at", 40, RUN_AT, RUN_AT_SHAPE),
)
"""In the order in which they are checked: of two faults the first is told."""
