"""The result of an attempt, in its three forms: ours, JSON, and the wire's."""

from dataclasses import fields

import pytest

from hodei.protocol import hodei_pb2 as pb
from hodei.protocol.words import Outcome
from hodei_worker.held import Held, Phase
from hodei_worker.supervisor.result import Result

OTHER_NAMES = {"started_us": "started_unix_us"}
ONLY_HERE = {"spooled"}
ONLY_ON_THE_WIRE = {"lease", "late_job_id"}

FULL = Result(
    outcome=Outcome.FAILED,
    reason="EXIT_NONZERO",
    message="exit code 3",
    exit_code=3,
    signal=9,
    started_us=11,
    run_us=12,
    peak_memory_bytes=13,
    cpu_us=14,
    log_chunks=15,
    spooled=16,
    log_bytes=17,
    log_dropped_bytes=18,
    leftover_processes=19,
    leftover_unknown=20,
)


def on_the_wire(result: Result) -> pb.Result:
    return Held(1, "job", 1, "c", "a", Phase.ENDED).result_message(result)


def test_each_field_has_its_own_on_the_wire() -> None:
    ours = {OTHER_NAMES.get(f.name, f.name) for f in fields(Result)} - ONLY_HERE
    assert ours == {field.name for field in pb.Result.DESCRIPTOR.fields} - ONLY_ON_THE_WIRE


def test_each_field_is_sent() -> None:
    sent = on_the_wire(FULL)
    for field in fields(Result):
        if field.name not in ONLY_HERE | {"outcome"}:
            name = OTHER_NAMES.get(field.name, field.name)
            assert getattr(sent, name) == getattr(FULL, field.name), name
    assert sent.outcome == pb.FAILED


@pytest.mark.parametrize(
    "result", [FULL, Result(Outcome.SUCCEEDED, exit_code=0), Result(Outcome.LOST)]
)
def test_what_is_said_is_read_again(result: Result) -> None:
    assert Result.from_json(result.as_json()) == result
    said = {field.name for field in fields(Result) if getattr(result, field.name) is not None}
    assert result.as_json().keys() == said, "agents of a release before miss what is left out"


def test_of_another_release_what_is_not_known_is_left_out() -> None:
    assert Result.from_json({"outcome": "LOST", "new_key": 1}) == Result(Outcome.LOST)


def test_a_code_of_zero_is_told_and_no_code_is_not() -> None:
    assert on_the_wire(Result(Outcome.SUCCEEDED, exit_code=0)).HasField("exit_code")
    assert not on_the_wire(Result(Outcome.LOST)).HasField("exit_code")
    assert not on_the_wire(Result(Outcome.LOST)).HasField("signal")
