"""Specs of a file are read and checked as a whole, then sent in pieces that fit a message; when a
piece fails, the user is told which jobs stand."""

import contextlib
import json
import re
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import click

from hodei.cli import first_id, submit_calls
from hodei.cli.errors import Lines
from hodei.cli.show.documents import emit_line, write_json, write_yaml
from hodei.cli.spec_file import SpecFile, read_specs
from hodei.cli.submit_calls import BrokeOff, Interrupted, Where, create
from hodei.domain.errors import Invalid
from hodei.domain.ids import following, uuid7
from hodei.domain.spec import normalise, plain_times
from hodei.domain.text import shown
from hodei.protocol.pieces import pieces
from hodei.shapes.job import Submitted

MOST_WORDS = 20
"""Refused specs that are named; the others are counted."""


class Ready(NamedTuple):
    """A spec to be sent. `number`: its place among the specs of its file, from 0."""

    number: int
    job_id: str
    text: str


class Checked(NamedTuple):
    """`bad`: what is wrong with a spec, with its place."""

    good: list[Ready]
    bad: list[str]


def check(file: SpecFile, first: uuid.UUID) -> Checked:
    """All of a file, before anything is sent. A spec without an id gets the one of its place,
    counted from the first."""
    checked = Checked([], [])
    seen: dict[uuid.UUID, tuple[int, dict[str, Any]]] = {}
    for number, given in enumerate(file.specs):
        try:
            own = _with_id(given, following(first, number))
            text = _as_json(own)
            spec = normalise(text)
            assert spec.id is not None  # noqa: S101  it has been given one
            before, normal = seen.setdefault(spec.id, (number, spec.normal))
            if normal != spec.normal:
                raise Invalid(
                    f"id: expected another one, as {spec.id} is the id of another spec,"
                    f" in {file.where(before)}"
                )
        except Invalid as error:
            checked.bad.append(shown(file.fault(number, str(error))))
        else:
            plain = plain_times(own, spec)
            text = text if plain is own else _as_json(plain)
            checked.good.append(Ready(number, str(spec.id), text))
    return checked


def _with_id(given: Any, job_id: uuid.UUID) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise Invalid("expected an object, as of a job with its command")
    return given if given.get("id") is not None else {**given, "id": str(job_id)}


def _as_json(spec: dict[str, Any]) -> str:
    try:
        return json.dumps(spec, ensure_ascii=False).encode().decode()
    except RecursionError:
        raise Invalid("spec: expected a JSON object, got one that is nested too deeply") from None
    except UnicodeEncodeError:
        raise Invalid("spec: expected valid Unicode text") from None


Tell = Callable[[str], None]
"""Is called with the id of each job that stands, in order, piece by piece."""

Place = Callable[[int, str], str]
"""Puts a refusal of a spec into words, with the place of the spec."""


def teller(output: str) -> Tell:
    """Prints the id of a job, or its document in a format."""

    def tell(job_id: str) -> None:
        if not emit_line(output, Submitted(job_id=job_id)):
            click.echo(shown(job_id))

    return tell


def submit_one(where: Where, spec: dict[str, Any], tell: Tell) -> None:
    """Submits one job. When it cannot be known whether it was stored, its id is told, so that a
    repeated call is the same job."""
    try:
        ready = Ready(0, spec["id"], json.dumps(spec))
        refused = _send(where, [ready], tell, lambda _, words: words, partial=True)
    except BrokeOff as error:
        if error.stands:
            raise error.with_words(f"; job {spec['id']} is stored") from error
        if not error.unsure:
            raise
        again = f"repeated with --id {spec['id']} it does not run twice"
        raise error.with_words(f"; it may be that the job was stored: {again}") from error
    if refused:
        raise click.ClickException(refused[0])


def submit_file(
    where: Where, path: str, data: bytes, tell: Tell, *, partial: bool, ids_from: str | None
) -> None:
    """Every spec is checked before the first is sent. UsageError: what is wrong, unless only the
    right ones are asked for. `path`: of the file with this data; `-` for standard input."""
    with _first_id(where, path, data, partial=partial, ids_from=ids_from) as first:
        try:
            file = read_specs(data, path)
            checked = _all_good(check(file, first.value), partial=partial)
            refused = _send(where, checked.good, tell, file.fault, partial=partial)
            first.forget()
        except BrokeOff as error:
            if not (error.stands or error.unsure):
                first.forget_if_new()
                raise
            stand = f"{error.stands} of {len(checked.good)} jobs stand"
            perhaps = ", perhaps more" if error.unsure else ""
            raise error.with_words(
                f"\n{stand}{perhaps}; {first.again}: the ids are the same, nothing runs twice"
            ) from error
        except click.UsageError:
            first.forget_if_new()
            raise
    if bad := checked.bad + refused:
        raise click.ClickException(listed(bad, "refused, and not submitted with the others: "))


@contextlib.contextmanager
def _first_id(
    where: Where, path: str, data: bytes, *, partial: bool, ids_from: str | None
) -> Iterator[first_id.FirstId]:
    """The id of the file's first spec. UsageError: no server could be asked for its cluster, and
    nothing of the file would be submitted anyway."""
    if ids_from:
        yield first_id.given(ids_from)
        return
    try:
        cluster = submit_calls.cluster_id(where)
    except click.ClickException:
        _all_good(check(read_specs(data, path), uuid7()), partial=partial)
        raise
    with first_id.of_file(data, where.project, cluster) as first:
        yield first


def _all_good(checked: Checked, *, partial: bool) -> Checked:
    """UsageError: what is wrong, unless only the right ones are asked for."""
    if checked.bad and not partial:
        raise click.UsageError(listed(checked.bad, "--file: nothing was submitted: "))
    return checked


def show_file(output: str, path: str, data: bytes, *, partial: bool) -> None:
    """Prints the specs of a file as they would be stored, and sends nothing. UsageError: what is
    wrong; without `partial` nothing is printed then."""
    file = read_specs(data, path)
    checked = check(file, uuid7())
    if checked.bad and not partial:
        raise click.UsageError(listed(checked.bad, "--file: "))
    shown_specs = [
        _stored(json.loads(ready.text), with_id=file.specs[ready.number].get("id") is not None)
        for ready in checked.good
    ]
    _show(output, shown_specs)
    if checked.bad:
        raise click.UsageError(listed(checked.bad, "--file: "))


def show_spec(output: str, spec: dict[str, Any], *, with_id: bool) -> None:
    """Prints one spec as it would be stored. `with_id`: the id is the user's own."""
    _show(output, _stored(spec, with_id=with_id))


def _stored(spec: dict[str, Any], *, with_id: bool) -> dict[str, Any]:
    """The stored form, with the id and the actor, which are stored beside it."""
    checked = normalise(json.dumps(spec))
    own: dict[str, Any] = {"id": str(checked.id)} if with_id else {}
    return own | ({"actor": checked.actor} if checked.actor else {}) | checked.normal


def _show(output: str, value: Any) -> None:
    write_yaml(value) if output == "yaml" else write_json(value)


def _send(
    where: Where, specs: Sequence[Ready], tell: Tell, place: Place, *, partial: bool
) -> list[str]:
    """Returns what was refused, each with its place; without `partial` that is a BrokeOff."""
    stands, refused = 0, []
    try:
        for piece in pieces(specs):
            entries = create(where, [spec.text for spec in piece], stands, partial=partial)
            created = [entry.job_id for entry in entries if not entry.error]
            stands += len(created)
            _tell_all(created, tell, stands)
            bad = _refused(piece, entries, place)
            if bad and not partial:
                raise BrokeOff(listed(bad), stands, unsure=False)
            refused += bad
    except KeyboardInterrupt as stop:
        raise Interrupted("interrupted", stands, unsure=True) from stop
    return refused


def _tell_all(created: Sequence[str], tell: Tell, stands: int) -> None:
    try:
        for job_id in created:
            tell(job_id)
    except BrokenPipeError:
        raise
    except OSError as error:
        words = f"cannot write the output: {error.strerror or error}"
        raise BrokeOff(words, stands, unsure=False) from error


def _refused(piece: Sequence[Ready], entries: Sequence[Any], place: Place) -> list[str]:
    """What the server refuses of a piece. (ABORTED: for the sake of another one.)"""
    return [
        shown(place(spec.number, _of_server(entry.error)))
        for spec, entry in zip(piece, entries, strict=True)
        if entry.error and entry.error_code != "ABORTED"
    ]


def _of_server(words: str) -> str:
    """A server's refusal in words. As every spec was checked here, a key that the server does not
    know is one that is newer than the server."""
    unknown = re.match(r"(\w+): unknown key;", words)
    key = unknown[1] if unknown else ""
    if re.fullmatch(r"env\.\w+: expected a string, got object", words):
        return f"{words}: this server is of an older release, which has no secrets"
    return f"{key}: this server is of an older release, which has no such key" if key else words


def listed(words: Sequence[str], before: str = "") -> Lines:
    """One line for each; after the first MOST_WORDS, a line that counts the others. `before`: at the
    beginning of the first."""
    more = len(words) - MOST_WORDS
    counted = [f"… and {more} more"] if more > 0 else []
    return Lines(before + "\n".join([*words[:MOST_WORDS], *counted]))
