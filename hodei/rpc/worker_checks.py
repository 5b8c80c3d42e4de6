"""What workers send is checked where it is read, before anything of it is used or gets into a batch
with what others have sent. Invalid ends that stream, and no other."""

from collections.abc import Sized

from hodei.domain.errors import Invalid
from hodei.domain.spec import CONTROLS, PATTERNS
from hodei.protocol import hodei_pb2 as pb
from hodei.rpc import convert

LABEL_NAME = PATTERNS["labels"]

MOST_ENTRIES = 2_000
"""Of a kind in one frame; workers send 600 at most. More ends the stream."""

MOST_CHUNKS = 25_000
"""Log chunks in one frame: workers fill 800,000 bytes with them, 40 of which each chunk costs
besides its data. More ends the stream."""

MOST_HELD = 100_000
"""Leases that a hello or a heartbeat lists: ten times the most slots."""

MOST_LABELS_BYTES = 32_768
"""Of the names and values of a worker's labels, and 100 of them."""


def hello(said: pb.Hello) -> None:
    """What a worker says of itself must be fit to store, to list and to print."""
    if not 1 <= said.slots <= 10_000:
        raise Invalid(f"slots: expected 1 to 10000, got {said.slots}")
    if len(said.held) > MOST_HELD:
        raise Invalid(f"held: expected at most {MOST_HELD} leases, got {len(said.held)}")
    if (
        len(said.labels) > 100
        or sum(len(k.encode()) + len(v.encode()) for k, v in said.labels.items())
        > MOST_LABELS_BYTES
    ):
        raise Invalid(
            f"labels: expected at most 100 of {MOST_LABELS_BYTES} bytes in all, got {len(said.labels)}"
        )
    for name, value in said.labels.items():
        if (
            not LABEL_NAME.search(name)
            or len(value) > 255
            or CONTROLS.search(value)
            or "\0" in value
        ):
            raise Invalid(
                f"labels: expected names of letters, digits, . _ / - and values of at most 255 characters, got {name[:80]!r}"
            )
    for what, text, most in (
        ("name", said.name, 200),
        ("version", said.version, 50),
        ("job_user", said.job_user, 200),
    ):
        if len(text) > most or CONTROLS.search(text) or "\0" in text:
            raise Invalid(
                f"{what}: expected at most {most} characters without control characters, got {text[:80]!r}"
            )
    convert.leases_of(held.lease for held in said.held)


def most_entries(frame: pb.WorkerFrame) -> int:
    """Of the kind of which there are most, but for log chunks."""
    kinds: tuple[Sized, ...] = (
        frame.accepts,
        frame.rejects,
        frame.results,
        frame.stopping,
        frame.cancels_received,
        frame.started,
    )
    return max(len(kind) for kind in kinds)


def frame(said: pb.WorkerFrame) -> None:
    """Before anything of a frame is used. Invalid ends this stream, and no other."""
    convert.within(most_entries(said), "entries of a kind in a frame", MOST_ENTRIES)
    convert.within(len(said.logs), "log chunks in a frame", MOST_CHUNKS)
    convert.leases_of(one.lease for one in said.accepts)
    convert.leases_of(one.lease for one in said.stopping)
    convert.leases_of(said.cancels_received)
    convert.leases_of(said.started)
    if said.HasField("heartbeat"):
        beat = said.heartbeat
        convert.within(beat.busy_slots, "busy_slots", 10_000)
        convert.within(len(beat.held), "leases of a heartbeat", MOST_HELD)
        convert.leases_of(held.lease for held in beat.held)


def has_room(frame: pb.WorkerFrame) -> bool:
    """Whether another frame may be committed together with this one."""
    return most_entries(frame) < MOST_ENTRIES
