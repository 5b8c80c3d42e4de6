"""The rules of a spec, without a database."""

import json
from typing import Any

import pytest

from hodei.domain.errors import Invalid
from hodei.domain.spec import normalise
from tests.domain.bad_specs import BAD
from tests.domain.good_specs import GOOD


@pytest.mark.parametrize(("given", "stored"), GOOD.values(), ids=GOOD)
def test_a_good_spec_has_one_stored_form(given: dict[str, Any], stored: dict[str, Any]) -> None:
    assert normalise(json.dumps(given)).normal == stored
    assert normalise(json.dumps(stored)).normal == stored, "a stored form comes back as it is"


@pytest.mark.parametrize(("given", "message"), BAD.values(), ids=BAD)
def test_a_bad_spec_is_refused_by_the_name_of_its_key(given: Any, message: str) -> None:
    with pytest.raises(Invalid) as refusal:
        normalise(json.dumps(given))
    assert str(refusal.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "spec: expected JSON"),
        ('{"command": NaN}', "spec: expected JSON"),
        ('{"command": "a\\u0000b"}', "command: expected text without NUL"),
        ('{"command": "x", "env": {"A": "\\u0000"}}', "env.A: expected text without NUL"),
        ('{"command": "\\ud800"}', "command: expected valid Unicode text"),
        ('{"command": "x", "grace": 0e1073741823}', "spec: .* is out of range"),  # by PostgreSQL 15
    ],
)
def test_text_that_no_database_can_hold_is_refused(text: str, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        normalise(text)


def test_id_and_actor_are_taken_out_of_what_is_stored() -> None:
    spec = normalise(
        '{"command": "x", "id": "0190b5c5-0000-7000-8000-000000000001", "actor": "ana"}'
    )
    assert (str(spec.id), spec.actor, spec.normal) == (
        "0190b5c5-0000-7000-8000-000000000001",
        "ana",
        {"command": "x"},
    )
