"""Specs of a file are read and checked as a whole, then sent in pieces that fit a message; when a
piece fails, the user is told which jobs stand."""

import contextlib
import json
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import click

from hodei.cli import first_id
from hodei.cli.client import Unanswered, connect, is_refusal, is_transient
from hodei.domain.errors import Invalid
from hodei.domain.ids import following
from hodei.domain.spec import normalise
from hodei.domain.text import shown

PIECE_SPECS = 1000
PIECE_BYTES = 3_000_000
"""Specs and bytes of one message: servers take 1,000 specs and 4 MiB."""

MOST_FILE = 256 << 20
"""Bytes of a file of specs."""

MOST_WORDS = 20
"""Refused specs that are named; the others are counted."""

TRIES = 3
PAUSE_S = 0.3
"""How often a piece is sent, and the seconds between, while servers go away or do not get at their
database: as it has ids of our own, nothing is created twice."""


class Placed(NamedTuple):
    """A spec and where it stands in its file, as `spec 3` or `line 3`."""

    where: str
    spec: dict[str, Any]


def read_specs(data: bytes) -> list[Placed]:
    """The specs of a file, which has an object, a list of them, or an object on each line.
    UsageError names the place of a fault."""
    text = _text(data)
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    try:
        value = json.loads(text)
    except RecursionError:
        raise click.UsageError(
            "--file: expected a JSON object for each job, got one that is nested too deeply"
        ) from None
    except ValueError as error:
        if len(lines) < 2 or not _parses(lines[0][1]):
            raise click.UsageError(
                f"--file: expected JSON, got text that does not parse: {error}"
            ) from None
        found = [(f"line {number}", _line(number, line)) for number, line in lines]
    else:
        found = [
            (f"spec {n}", one)
            for n, one in enumerate(value if isinstance(value, list) else [value], 1)
        ]
    if not found:
        raise click.UsageError("--file: expected a JSON object for each job, got none")
    return [Placed(where, spec) for where, spec in found]


def _text(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise click.UsageError(
            f"--file: expected UTF-8 text, got byte {data[error.start]:#x} at {error.start}"
        ) from None


def _parses(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _line(number: int, text: str) -> Any:
    try:
        return json.loads(text)
    except RecursionError:
        raise click.UsageError(
            f"--file, line {number}: expected a JSON object, got one that is nested too deeply"
        ) from None
    except ValueError as error:
        raise click.UsageError(
            f"--file, line {number}: expected JSON, got text that does not parse: {error}"
        ) from None


Ready = tuple[str, str, str]
"""A spec to be sent: its place in the file, its id, its JSON."""


class Checked(NamedTuple):
    """`bad`: what is wrong with a spec, with its place."""

    good: list[Ready]
    bad: list[str]


def check(placed: Sequence[Placed], first: uuid.UUID) -> Checked:
    """All of a file, before anything is sent. A spec without an id gets the one of its place,
    counted from the first."""
    checked = Checked([], [])
    seen: dict[uuid.UUID, tuple[str, dict[str, Any]]] = {}
    for number, (where, given) in enumerate(placed):
        try:
            text = _with_id(given, following(first, number))
            spec = normalise(text)
            assert spec.id is not None  # noqa: S101  it has been given one
            before = seen.setdefault(spec.id, (where, spec.normal))
            if before[1] != spec.normal:
                raise Invalid(f"id: {spec.id} stands at {before[0]} with another spec")
        except Invalid as error:
            checked.bad.append(shown(f"{where}: {error}"))
        else:
            checked.good.append((where, str(spec.id), text))
    return checked


def _with_id(given: Any, job_id: uuid.UUID) -> str:
    if not isinstance(given, dict):
        raise Invalid("expected a JSON object")
    spec = given if given.get("id") is not None else {**given, "id": str(job_id)}
    try:
        return json.dumps(spec, ensure_ascii=False).encode().decode()
    except RecursionError:
        raise Invalid("spec: expected a JSON object, got one that is nested too deeply") from None
    except UnicodeEncodeError:
        raise Invalid("spec: expected valid Unicode text") from None


def pieces(specs: Sequence[Ready]) -> Iterator[Sequence[Ready]]:
    """Yields the specs in order, in pieces each as large as a message may be."""
    start, size = 0, 0
    for end, (_, _, text) in enumerate(specs):
        weight = len(text.encode()) + 8
        if end > start and (size + weight > PIECE_BYTES or end - start == PIECE_SPECS):
            yield specs[start:end]
            start, size = end, 0
        size += weight
    if specs:
        yield specs[start:]


class BrokeOff(click.ClickException):
    """A piece failed, or was refused. `stands`: jobs of the pieces before it; `unsure`: jobs of
    this one may stand too."""

    def __init__(self, words: str, stands: int, *, unsure: bool) -> None:
        super().__init__(words)
        self.stands = stands
        self.unsure = unsure

    def with_words(self, more: str) -> "BrokeOff":
        return BrokeOff(self.message + more, self.stands, unsure=self.unsure)


Tell = Callable[[str], None]
"""Is called with the id of each job that stands, in order, piece by piece."""


def submit_one(servers: str, spec: dict[str, Any], tell: Tell) -> None:
    """Submits one job. When it cannot be known whether it was stored, its id is told, so that a
    repeated call is the same job."""
    try:
        refused = _send(servers, [("", spec["id"], json.dumps(spec))], tell, partial=True)
    except BrokeOff as error:
        if not error.unsure:
            raise
        again = f"repeated with --id {spec['id']} it does not run twice"
        raise error.with_words(f"; it may be that the job was stored: {again}") from error
    if refused:
        raise click.ClickException(refused[0])


def submit_file(
    servers: str, data: bytes, tell: Tell, *, partial: bool, ids_from: str | None
) -> None:
    """Every spec is checked before the first is sent. UsageError: what is wrong, unless only the
    right ones are asked for."""
    with (
        contextlib.nullcontext(first_id.given(ids_from))
        if ids_from
        else first_id.of_file(data) as first
    ):
        try:
            checked = check(read_specs(data), first.value)
            if checked.bad and not partial:
                raise click.UsageError(f"--file: nothing was submitted: {listed(checked.bad)}")
            refused = _send(servers, checked.good, tell, partial=partial)
            first.forget()
        except BrokeOff as error:
            if not (error.stands or error.unsure):
                first.forget()
                raise
            stand = f"{error.stands} of {len(checked.good)} jobs stand"
            perhaps = ", perhaps more" if error.unsure else ""
            raise error.with_words(
                f"\n{stand}{perhaps}; {first.again}: the ids are the same, nothing runs twice"
            ) from error
        except click.UsageError:
            first.forget()
            raise
    if bad := checked.bad + refused:
        raise click.ClickException(f"refused, and not submitted with the others: {listed(bad)}")


def _send(servers: str, specs: Sequence[Ready], tell: Tell, *, partial: bool) -> list[str]:
    """Returns what was refused, each with its place; without `partial` that is a BrokeOff."""
    stands, refused = 0, []
    for piece in pieces(specs):
        entries = _create(servers, [text for _, _, text in piece], stands, partial=partial)
        for entry in entries:
            if not entry.error:
                tell(entry.job_id)
                stands += 1
        bad = [
            shown(f"{place[0]}: {entry.error}" if place[0] else entry.error)
            for place, entry in zip(piece, entries, strict=True)
            if entry.error and entry.error_code != "ABORTED"
        ]
        if bad and not partial:
            raise BrokeOff(listed(bad), stands, unsure=False)
        refused += bad
    return refused


def _create(servers: str, texts: list[str], stands: int, *, partial: bool) -> Any:
    """The entries of the answer. Where it is lost, or a server goes away, the piece is sent
    again."""
    import grpc

    from hodei.protocol import hodei_pb2 as pb

    request = pb.CreateJobsRequest(specs=texts, all_or_nothing=not partial)
    unsure = False
    for left in reversed(range(TRIES)):
        try:
            with connect(servers) as client:
                return client.call(client.jobs.CreateJobs, request).entries
        except Unanswered as error:
            if not left or not (stands or unsure):
                raise BrokeOff(error.message, stands, unsure=unsure) from error
        except click.ClickException as error:
            cause = error.__cause__
            assert isinstance(cause, grpc.RpcError)  # noqa: S101  nothing else is translated by connect
            unsure = unsure or not is_refusal(cause)
            if not left or not is_transient(cause):
                raise BrokeOff(error.message, stands, unsure=unsure) from error
        time.sleep(PAUSE_S)
    raise AssertionError("the last try returns or raises")


def listed(words: Sequence[str]) -> str:
    """A line each, the first so many of them."""
    more = len(words) - MOST_WORDS
    return "\n".join([*words[:MOST_WORDS], *([f"… and {more} more"] if more > 0 else [])])
