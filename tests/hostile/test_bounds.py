"""Clients that ask for too much: the server's memory stays under 512 MB, and another client's create under 1 s."""

import time

import pytest

from tests.hostile.conftest import attack, watched
from tests.running import Hodei

LATER = "2900-01-01T00:00:00Z"


def test_followers_that_read_nothing(one: Hodei) -> None:
    job_id = with_log(one, megabytes=40)
    with watched(one) as seen, attack("follow_and_read_nothing", one.addresses[0], job_id, 1000) as counts:
        time.sleep(1)
    print(counts, seen.rss >> 20, max(seen.creates_s))
    assert counts["held"] == 400
    assert counts["RESOURCE_EXHAUSTED"] == 600
    (words,) = [key for key in counts if key.startswith("words: ")]
    assert "400 log readers from this address already" in words
    seen.check()


@pytest.mark.parametrize("connections", [1, 60])
def test_large_creates_at_once(one: Hodei, connections: int) -> None:
    with watched(one) as seen, attack("create_large", one.addresses[0], 60, connections) as counts:
        time.sleep(0.5)
    print(counts, seen.rss >> 20, max(seen.creates_s))
    assert counts["OK"] >= 8
    assert counts["OK"] + counts.get("RESOURCE_EXHAUSTED", 0) == 60
    seen.check()


@pytest.mark.parametrize("connections", [1, 50])
def test_a_flood_of_questions(one: Hodei, connections: int) -> None:
    with watched(one) as seen, attack("get_status", one.addresses[0], 5000, connections) as counts:
        pass
    print(counts, seen.rss >> 20, max(seen.creates_s))
    assert counts["OK"] > 600
    seen.check()


def test_questions_that_are_too_large(one: Hodei) -> None:
    with watched(one) as seen, attack("large_questions", one.addresses[0], 200, 20) as counts:
        pass
    print(counts, seen.rss >> 20, max(seen.creates_s))
    assert counts["INVALID_ARGUMENT"] == 200
    seen.check()


def with_log(one: Hodei, megabytes: int) -> str:
    job_id = one.submit("--run-at", LATER, "--command", "true")
    one.sql(
        "INSERT INTO job_logs (job_id, lease, seq, attempt, stream, byte_offset, first_line, read_at, data)"
        " SELECT %s, 1, n, 1, 1, n * 65536, 1, now(), decode(repeat('61', 65536), 'hex')"
        " FROM generate_series(0, %s) n",
        job_id, megabytes * 16 - 1,
    )  # fmt: skip
    return job_id
