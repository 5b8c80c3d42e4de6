"""Random specs get one answer of both doors: accepted to the same stored form, or refused.

2,000 with a fixed seed; HODEI_FUZZ_SPECS=1000000 asks for more, HODEI_FUZZ_SEED for others.
"""

import json
import os
import random
from typing import Any

import psycopg

from hodei.domain.errors import Invalid
from hodei.domain.spec import normalise
from tests.conftest import Connection
from tests.domain.random_specs import spec

MANY = int(os.environ.get("HODEI_FUZZ_SPECS", "2000"))
SEED = int(os.environ.get("HODEI_FUZZ_SEED", "10"))
AT_ONCE = 500

# Each by itself, so that one refusal is one answer: a function of this test's own.
ASK = """
CREATE FUNCTION pg_temp.ask(given text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
    RETURN 'good ' || hodei_normalise_spec(given::jsonb)::text;
EXCEPTION WHEN invalid_parameter_value THEN
    RETURN 'bad ' || SQLERRM;
WHEN numeric_value_out_of_range OR invalid_text_representation OR untranslatable_character THEN
    RETURN 'unreadable';
END $$
"""


def of_python(given: str) -> tuple[str, Any]:
    try:
        return "good", normalise(given).normal
    except Invalid as refusal:
        return "bad", str(refusal)


def test_both_doors_give_random_specs_the_same_answer(db: Connection) -> None:
    db.execute(ASK)
    dice = random.Random(SEED)
    good = 0
    for _ in range(0, MANY, AT_ONCE):
        specs = [spec(dice) for _ in range(AT_ONCE)]
        answers = db.execute("SELECT pg_temp.ask(s) FROM unnest(%s::text[]) WITH ORDINALITY AS u (s, n) ORDER BY n", [specs]).fetchall()
        for given, (answer,) in zip(specs, answers, strict=True):
            kind, ours = of_python(given)
            said, _, words = answer.partition(" ")
            assert (said == "good") == (kind == "good"), (given, answer, ours)
            if kind == "good":
                good += 1
                assert json.loads(words) == json.loads(json.dumps(ours)), given
                assert of_python(words) == (kind, ours), "a stored form comes back as it is"
            elif said == "bad":
                assert words == ours, given
    assert MANY * 0.2 < good < MANY * 0.9, "a fuzz that asks for both answers"


def test_what_the_doors_accept_can_be_stored(db: Connection) -> None:
    """The property that random specs of both kinds must have at the next statement, too."""
    dice = random.Random(SEED + 1)
    stored = 0
    for _ in range(300):
        given = spec(dice)
        if of_python(given)[0] == "good":
            try:
                db.execute("SELECT hodei_enqueue(%s::jsonb)", [given])
                stored += 1
            except psycopg.errors.UniqueViolation:
                assert '"id"' in given
    assert stored > 60
