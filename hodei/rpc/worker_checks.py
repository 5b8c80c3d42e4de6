"""What workers send is checked where it is read, before anything of it is used or gets into a batch
with what others have sent. Invalid ends that worker's stream, and no other."""

from collections.abc import Iterable, Sequence, Sized

from hodei.domain import project
from hodei.domain.errors import Conflict, Invalid
from hodei.domain.spec import CONTROLS, PATTERNS
from hodei.protocol import hodei_pb2 as pb
from hodei.protocol.bounds import (
    CAPABILITY,
    MOST_CAPABILITIES,
    MOST_HELD,
    MOST_NUMBER,
    SHA256_BYTES,
)
from hodei.rpc.worker_stream import PROTOCOL

LABEL_NAME = PATTERNS["labels"]

MOST_ENTRIES = 2_000
"""Entries of a kind in one frame; workers send 600 at most."""

MOST_CHUNKS = 25_000
"""Log chunks in one frame: workers fill 800,000 bytes with them, and each chunk costs 40 of these
besides its data."""

MOST_SLOTS = 10_000

MOST_LABELS = 100

MOST_LABELS_BYTES = 32_768
"""Bytes of the names and values of a worker's labels together."""

MOST_PROJECTS = 100
"""Projects whose jobs alone a worker takes: workers of many projects are not limited."""

LATEST_US = 4_102_444_800_000_000
"""The year 2100, in microseconds since 1970: a later time of a worker is a fault."""

CHUNK_BYTES = 65_536


def within(value: int, what: str, most: int = MOST_NUMBER, least: int = 0) -> int:
    """Returns the value, which the store can hold. Invalid: it is out of range."""
    if not least <= value <= most:
        raise Invalid(f"{what}: expected {least} to {most}, got {value}")
    return value


def within_all(what: str, **numbers: int) -> None:
    """Does as within, for several numbers at once: nearly always all of them are in range."""
    if max(numbers.values()) > MOST_NUMBER:
        for name, value in numbers.items():
            within(value, f"{what}: {name}")


def leases(numbers: Iterable[int]) -> None:
    """Invalid: the store cannot hold one of these numbers of leases."""
    within(max(numbers, default=0), "lease")


def hello(said: pb.Hello) -> None:
    """Checks that what a worker says of itself can be stored, listed and printed. Conflict: it
    speaks another version of the contract."""
    if not said.protocol_min <= PROTOCOL <= said.protocol_max:
        raise Conflict(
            f"the worker speaks protocol {said.protocol_min} to {said.protocol_max}, this server {PROTOCOL}: "
            "upgrade the older of the two"
        )
    if not 1 <= said.slots <= MOST_SLOTS:
        raise Invalid(f"slots: expected 1 to {MOST_SLOTS}, got {said.slots}")
    if len(said.held) > MOST_HELD:
        raise Invalid(f"held: expected at most {MOST_HELD} leases, got {len(said.held)}")
    _labels(dict(said.labels))
    _projects(said.projects)
    _capabilities(said.capabilities)
    for what, text, most in (
        ("name", said.name, 200),
        ("version", said.version, 50),
        ("job_user", said.job_user, 200),
        ("about.host", said.about.host, 200),
        ("about.system", said.about.system, 200),
        ("about.python", said.about.python, 200),
        ("about.on_worker_exit", said.about.on_worker_exit, 20),
        ("about.on_disconnect", said.about.on_disconnect, 20),
    ):
        if len(text) > most or CONTROLS.search(text) or "\0" in text:
            raise Invalid(
                f"{what}: expected at most {most} characters without control characters, got {text[:80]!r}"
            )
    within(said.about.memory_bytes, "about.memory_bytes")
    within(said.about.log_limit_bytes, "about.log_limit_bytes")
    leases(held.lease for held in said.held)


def _labels(labels: dict[str, str]) -> None:
    size = sum(len(name.encode()) + len(value.encode()) for name, value in labels.items())
    if len(labels) > MOST_LABELS or size > MOST_LABELS_BYTES:
        raise Invalid(
            f"labels: expected at most {MOST_LABELS} of {MOST_LABELS_BYTES} bytes in all,"
            f" got {len(labels)} of {size}"
        )
    for name, value in labels.items():
        is_fit = len(value) <= 255 and "\0" not in value and not CONTROLS.search(value)
        if not is_fit or not LABEL_NAME.search(name):
            raise Invalid(
                f"labels: expected names of letters, digits, . _ / - and values of at most 255 characters, got {name[:80]!r}"
            )


def _projects(names: Sequence[str]) -> None:
    if len(names) > MOST_PROJECTS:
        raise Invalid(f"projects: expected at most {MOST_PROJECTS}, got {len(names)}")
    for name in names:
        project.checked(name)


def _capabilities(words: Sequence[str]) -> None:
    if len(words) > MOST_CAPABILITIES:
        raise Invalid(f"capabilities: expected at most {MOST_CAPABILITIES}, got {len(words)}")
    for word in words:
        if not CAPABILITY.fullmatch(word):
            raise Invalid(f"capabilities: expected WORD or WORD=VALUE, got {word[:80]!r}")


def frame(said: pb.WorkerFrame) -> None:
    """Checks that a frame is in bounds: its entries, its leases, its heartbeat and its hash."""
    within(most_entries(said), "entries of a kind in a frame", MOST_ENTRIES)
    within(len(said.logs), "log chunks in a frame", MOST_CHUNKS)
    leases(one.lease for one in said.accepts)
    leases(one.lease for one in said.stopping)
    leases(said.cancels_received)
    leases(said.started)
    if len(said.next_credential_sha256) not in (0, SHA256_BYTES):
        raise Invalid(
            f"next_credential_sha256: expected {SHA256_BYTES} bytes, got {len(said.next_credential_sha256)}"
        )
    leases(one.lease for one in said.leftovers)
    if said.HasField("heartbeat"):
        beat = said.heartbeat
        within(beat.busy_slots, "busy_slots", MOST_SLOTS)
        within(len(beat.held), "leases of a heartbeat", MOST_HELD)
        leases(held.lease for held in beat.held)


def most_entries(said: pb.WorkerFrame) -> int:
    """Entries of the kind of which the frame has most; log chunks are counted apart."""
    kinds: tuple[Sized, ...] = (
        said.accepts,
        said.rejects,
        said.results,
        said.stopping,
        said.cancels_received,
        said.started,
        said.leftovers,
    )
    return max(len(kind) for kind in kinds)


def has_room(said: pb.WorkerFrame) -> bool:
    """Returns whether another frame may be committed together with this one."""
    return most_entries(said) < MOST_ENTRIES
