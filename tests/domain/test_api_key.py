"""The form of API keys."""

import re

import pytest

from hodei.domain import api_key
from hodei.domain.api_key import ALPHABET, ApiKey, parse


def test_a_key_is_read_as_it_was_made_and_no_two_are_alike() -> None:
    keys = [api_key.make("admin") for _ in range(200)]
    assert [parse(key.text) for key in keys] == keys
    assert len({key.id for key in keys}) == len({key.secret for key in keys}) == 200
    assert all(re.fullmatch(r"hodei_a_[0-9a-z]{12}_[0-9A-Za-z]{49}", key.text) for key in keys)


def test_a_key_of_known_parts_has_a_known_text() -> None:
    """The form is a contract: keys are kept for years."""
    key = ApiKey("v", "0123456789ab", "A" * 43)
    assert key.text == "hodei_v_0123456789ab_" + "A" * 43 + "4cWxGi"
    assert key.sha256.hex().startswith("0f007385b6f9d4b7")


def test_each_wrong_character_is_noticed() -> None:
    text = api_key.make("viewer").text
    for place in range(len(text)):
        other = next(char for char in ALPHABET if char != text[place])
        assert parse(text[:place] + other + text[place + 1 :]) is None, place


@pytest.mark.parametrize(
    "wrong", ["", "hodei", "x" * 100_000, "hodei_v_0123456789ab_", "\0", "hodei_v_é"], ids=len
)
def test_other_texts_are_no_keys(wrong: str) -> None:
    text = api_key.make("viewer").text
    for one in (wrong, text + wrong, wrong + text) if wrong else ("",):
        assert parse(one) is None
    assert parse(text[:-1]) is None
    assert parse(text + "\n") is None


def test_only_the_right_secret_fits() -> None:
    key = api_key.make("viewer")
    assert key.fits(key.sha256)
    assert not key.fits(api_key.make("viewer").sha256)
    assert not key.fits(b"")
