"""The lines that an engine sends while it pulls an image."""

import json
import time

import pytest

from hodei_worker.containers import pulls
from hodei_worker.containers.pulls import MOST_LINE, PullFailed


def line(**said: object) -> bytes:
    return json.dumps(said).encode() + b"\r\n"


def layer(name: str, here: int) -> bytes:
    return line(id=name, progressDetail={"current": here, "total": 4 << 20})


def test_progress_is_told_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulls, "TELL_EVERY_S", 0.0)
    told: list[str] = []
    progress = pulls._Progress("x:1", [told.append])
    data = layer("a", 1 << 20) + layer("b", 2 << 20) + layer("a", 4 << 20)
    for at in range(0, len(data), 7):
        progress.feed(data[at : at + 7])
    assert told[-1] == "pulling x:1: 6 of 8 MiB"
    assert progress.error == ""


def test_lines_without_end_are_bounded_in_memory_and_in_words() -> None:
    told: list[str] = []
    progress = pulls._Progress("x:1", [told.append])
    begun = time.monotonic()
    for n in range(100):
        progress.feed(b"".join(layer(f"l{n}-{at}", at) for at in range(1000)))
    assert len(progress._layers) == pulls.MOST_LAYERS
    assert len(told) <= (time.monotonic() - begun) / pulls.TELL_EVERY_S


@pytest.mark.parametrize(
    "data",
    [b"\n", b"{\n", b"[]\n", b"null\n", b'{"progressDetail": 7}\n', b"\xff\xfe\n", b'{"id": []}\n'],
)
def test_odd_lines_are_passed_over(data: bytes) -> None:
    progress = pulls._Progress("x:1", [])
    progress.feed(data)
    assert progress.error == ""


def test_an_error_is_kept_without_control_characters() -> None:
    progress = pulls._Progress("x:1", [])
    progress.feed(line(error="manifest \x1b[2Junknown\n" + "x" * 10_000))
    assert progress.error.startswith("manifest [2Junknown xxx")
    assert len(progress.error) == 500


def test_a_line_without_an_end_fails_the_pull() -> None:
    progress = pulls._Progress("x:1", [])
    with pytest.raises(PullFailed, match="a line of more than"):
        for _ in range(20):
            progress.feed(b"x" * (MOST_LINE // 10))
