"""A function of somebody else that raises whatever error for one job costs that job alone, whatever
its name."""

import pytest

from tests.eventually import eventually
from tests.running import Hodei

TRIGGER = """
CREATE FUNCTION hodei_theirs() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'not this one' USING ERRCODE = '{}'; END $$;
CREATE TRIGGER theirs BEFORE UPDATE ON jobs FOR EACH ROW
WHEN (NEW.name = 'bad' AND NEW.lease IS NOT NULL) EXECUTE FUNCTION hodei_theirs()
"""


@pytest.mark.parametrize(
    "made",
    [TRIGGER.format("57P01"), TRIGGER.format("42P01")],
    ids=["a shutdown", "a missing table"],
)
def test_an_error_of_somebodys_function_costs_its_own_job(working: Hodei, made: str) -> None:
    working.sql(made)
    bad = working.submit("--name", "bad", "--priority", "5", "--command", "true")
    others = working.submit("--file", "-", stdin=b'{"command": "true"}\n' * 20).split()
    working.all_succeeded(others)
    eventually(lambda: working.job(bad)["reason"] == "REJECTED")
