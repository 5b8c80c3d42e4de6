"""A wait that is interrupted wherever it is ends at once."""

import time

import pytest

from tests.running import Hodei

ENDS_WITHIN_S = 10.0


@pytest.mark.parametrize("round_", range(3))
def test_the_time_of_a_wait_may_be_up_at_any_moment(one: Hodei, round_: int) -> None:
    job_id = one.submit("--run-at", "2900-01-01T00:00:00Z", "--command", "true")
    for milliseconds in range(1 + round_, 60, 3):
        begun = time.monotonic()
        ran = one.run("job", "wait", job_id, "--timeout", f"{milliseconds}ms")
        assert time.monotonic() - begun < ENDS_WITHIN_S
        assert (ran.code, f"job {job_id} has not ended" in ran.err) == (125, True), ran
