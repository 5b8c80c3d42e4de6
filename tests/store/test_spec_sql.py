"""hodei_normalise_spec gives the same answers as hodei/domain/spec.py, case by case."""

import json
from typing import Any

import psycopg
import pytest

from hodei.domain.errors import Invalid
from hodei.domain.spec import normalise
from tests.conftest import Connection
from tests.domain.bad_specs import BAD
from tests.domain.good_specs import GOOD


def test_good_specs_have_the_same_stored_form(db: Connection) -> None:
    for name, (given, stored) in GOOD.items():
        row = db.execute("SELECT hodei_normalise_spec(%s::jsonb)", [json.dumps(given)]).fetchone()
        assert row == (stored,), name


def test_bad_specs_get_the_same_words(db: Connection) -> None:
    for name, (given, start) in BAD.items():
        with pytest.raises(psycopg.errors.InvalidParameterValue) as refusal:
            db.execute("SELECT hodei_normalise_spec(%s::jsonb)", [json.dumps(given)])
        words = refusal.value.diag.message_primary
        assert words is not None
        assert words.startswith(start), name
        assert python_words(given) == words, name


def python_words(given: Any) -> str:
    with pytest.raises(Invalid) as refusal:
        normalise(json.dumps(given))
    return str(refusal.value)
