"""A field of what is shown stands in one place: the wire, JSON and docs/json.md follow the shapes."""

import dataclasses
import random
import typing
from typing import Any

import pytest

from hodei.protocol import hodei_pb2 as pb
from hodei.shapes import wire
from hodei.shapes.access import ApiKey, Identity
from hodei.shapes.error import Error
from hodei.shapes.fields import Json, Time, fields_of
from hodei.shapes.fleet import (
    Lacking,
    ListeningServer,
    Maintenance,
    Restoration,
    Rotation,
    SchemaReport,
    Secret,
    Status,
    Token,
    Unservable,
    Worker,
    WorkerDetails,
    WorkerJob,
)
from hodei.shapes.job import Attempt, Event, Job, JobChange, LogChunk, Submitted
from hodei.shapes.local import Certificates, Context
from hodei.shapes.page import WHERE, page
from hodei.shapes.provider import Provider
from hodei.shapes.rendering import EARLIEST, LATEST, as_dict, rfc3339
from hodei.shapes.size import size_of
from tests.conftest import TREE

MESSAGES: dict[type, Any] = {
    Job: pb.Job,
    JobChange: pb.ChangeJobsResponse.Entry,
    Attempt: pb.Attempts.Attempt,
    Event: pb.Timeline.Event,
    Worker: pb.Worker,
    WorkerDetails: pb.Worker,
    WorkerJob: pb.WorkerJob,
    Lacking: pb.Lacking,
    Token: pb.Token,
    Secret: pb.Secret,
    Rotation: pb.RotateSecretsResponse,
    Status: pb.Status,
    ListeningServer: pb.Server,
    Unservable: pb.Unservable,
    ApiKey: pb.ApiKey,
    Identity: pb.Identity,
    Provider: pb.Provider,
}

ONLY_DETAILS = {"jobs", "jobs_in_all", "lacking", "other_jobs"}
ONLY_DETAILS |= {"credential_since", "credential_age_s", "credential_renews"}
"""Fields of a worker that lists do not have."""


def some(kind: Any, chance: random.Random) -> Any:
    """Any value of a field but nothing."""
    if kind is Json:
        return '{"command": "true", "retries": 2}'
    if kind is Time or kind is int:
        return chance.randrange(1, 1 << 30)
    if kind is float:
        return chance.randrange(1, 1 << 20) / 64
    if kind is bool:
        return chance.random() < 0.5
    if kind is str:
        return chance.choice(["x", "días 日本", "a\x1b[2J\n"])
    if dataclasses.is_dataclass(kind):
        return filled(kind, chance.randrange(1 << 30))
    (of,) = typing.get_args(kind)[-1:]
    value = some(of, chance)
    return [value] if typing.get_origin(kind) is list else {"key": value}


def filled(shape: Any, seed: int) -> Any:
    """A shape in which about half of what may be nothing is nothing."""
    chance = random.Random(seed)
    return shape(
        **{
            field.name: None
            if field.optional and chance.random() < 0.5
            else some(field.kind, chance)
            for field in fields_of(shape)
        }
    )


@pytest.mark.parametrize("shape", MESSAGES, ids=lambda shape: shape.__name__)
@pytest.mark.parametrize("seed", range(20))
def test_a_shape_comes_back_from_the_wire_as_it_was(shape: type, seed: int) -> None:
    before = filled(shape, seed)
    raw = wire.fill(MESSAGES[shape], before).SerializeToString()
    assert wire.read(shape, MESSAGES[shape].FromString(raw)) == before
    assert len(raw) <= size_of(before), "a page is not larger than it is counted"


@pytest.mark.parametrize("shape", MESSAGES, ids=lambda shape: shape.__name__)
def test_shape_and_message_have_the_same_fields(shape: type) -> None:
    names = {
        name.removesuffix("_unix_us").removesuffix("_at")
        for name in MESSAGES[shape].DESCRIPTOR.fields_by_name
    }
    if shape is Worker:
        names -= ONLY_DETAILS
    assert names == {field.name.removesuffix("_at") for field in fields_of(shape)}


@pytest.mark.parametrize("shape", WHERE, ids=lambda shape: shape.__name__)
def test_names_say_units(shape: type) -> None:
    """Times end in `_at`, durations in `_s`, sizes in `_bytes`."""
    for field in fields_of(shape):
        assert (field.kind is Time) == field.name.endswith("_at"), field
        assert (field.kind is float) == field.name.endswith("_s"), field
        assert field.kind is int or not field.name.endswith("_bytes"), field
        assert field.meaning.endswith((".", "…")), field


def test_nothing_is_null_and_every_key_is_there() -> None:
    shown = as_dict(Job(job_id="1", name="n", state="PENDING"))
    assert list(shown) == [field.name for field in fields_of(Job)]
    assert shown["reason"] is shown["started_at"] is shown["spec"] is None
    assert "" not in (shown["worker_id"], shown["cancel"], shown["waiting_for"])


def test_a_job_without_its_spec_is_shown() -> None:
    """As a server says of one that it cannot read."""
    assert wire.read(Job, pb.Job(job_id="1", name="(unreadable)", state="FAILED")).spec is None


def test_times_are_rfc_3339_in_utc() -> None:
    assert rfc3339(1) == "1970-01-01T00:00:00.000001Z"
    assert rfc3339(1_769_860_800_000_000) == "2026-01-31T12:00:00.000000Z"
    assert rfc3339(2**62) == LATEST
    assert rfc3339(-(2**62)) == EARLIEST


def test_json_texts_are_shown_as_what_they_say() -> None:
    job = Job(job_id="1", name="n", state="PENDING", spec=Json('{"command": ["a", "b"]}'))
    assert as_dict(job)["spec"] == {"command": ["a", "b"]}


def test_every_shape_stands_in_the_page() -> None:
    assert set(WHERE) == {
        *MESSAGES,
        LogChunk,
        Context,
        Certificates,
        SchemaReport,
        Maintenance,
        Restoration,
        Error,
        Submitted,
    }


def test_docs_json_is_made_from_the_shapes() -> None:
    assert (TREE / "docs/json.md").read_text() == page(), "run tools/json-docs"
