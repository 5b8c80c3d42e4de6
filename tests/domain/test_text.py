"""What others wrote is shown on one line, without anything that a terminal obeys."""

import unicodedata

import pytest

from hodei.domain.text import shown

TURNS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("", ""),
        ("plain", "plain"),
        ("¡Señor! 東京 🚀 a\\nb", "¡Señor! 東京 🚀 a\\nb"),
        ("two\nlines\r\n\tand a tab", "two\\nlines\\r\\n\\tand a tab"),
        ("\x1b[31mred\x1b]0;title\x07", "\\x1b[31mred\\x1b]0;title\\x07"),
        ("\x9b31m \x7f \x00", "\\x9b31m \\x7f \\x00"),
        ("a\u2028b\u2029c\x85d", "a\\u2028b\\u2029c\\x85d"),
        ("\u202egnp.exe\u2066 \u200f", "\\u202egnp.exe\\u2066 \\u200f"),
        ("half \ud83d", "half \\ud83d"),
        ("👩\u200d👩\u200d👧 no\xa0break", "👩\u200d👩\u200d👧 no\xa0break"),
    ],
)
def test_what_is_shown(text: str, seen: str) -> None:
    assert shown(text) == seen


def test_no_character_ends_a_line_or_is_a_control_or_turns_the_text() -> None:
    for number in range(0x110000):
        seen = shown(f"a{chr(number)}b")
        assert len(seen.splitlines()) == 1, hex(number)
        for char in seen:
            assert unicodedata.category(char) not in {"Cc", "Cs", "Zl", "Zp"}, hex(number)
            assert unicodedata.bidirectional(char) not in TURNS, hex(number)
