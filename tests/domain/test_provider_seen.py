"""What servers note of a provider is read back, and what a hand wrote there does no harm."""

import json
from typing import Any

import pytest

from hodei.domain.provider_seen import MOST, Seen, read

WHOLE = Seen({"zone": "a"}, 3, 2, 1, 1, MOST, "it did not come up")


@pytest.mark.parametrize("seen", [Seen(), Seen({}), WHOLE])
def test_what_is_written_is_read(seen: Seen) -> None:
    assert read(json.loads(json.dumps(seen.as_json()))) == seen


ROOMS: list[Any] = [-1, MOST + 1, True, "7", 1.5, None, {}]
LABELS: list[Any] = [7, [], {"a": 1}, {"a": None}]
NONE_OF_OURS: list[Any] = [
    *(None, 7, "text", [], [{}], {"unknown": 7}, {"failure": 7}, {"failure": None}),
    *({"room": room} for room in ROOMS),
    *({"labels": labels} for labels in LABELS),
]


@pytest.mark.parametrize("value", NONE_OF_OURS)
def test_what_is_none_of_ours_is_left_out(value: Any) -> None:
    assert read(value) == Seen()
