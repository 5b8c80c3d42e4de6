"""A file of specs: read, checked as a whole, cut into pieces; the ids of a submit that broke
off."""

import json
import os
import time
from pathlib import Path

import click
import pytest

from hodei.cli import first_id, submit
from hodei.cli.spec_file import read_specs
from hodei.domain.ids import following, uuid7

ONE = '{"command": "true"}'


def checked(*specs: object) -> submit.Checked:
    return submit.check(read_specs(json.dumps(specs).encode()), uuid7())


def test_all_errors_are_found_before_anything_is_sent() -> None:
    found = checked(
        {"command": "true"},
        {"command": ""},
        7,
        {"comand": "x"},
        {"command": "\ud800"},
        {"\udc00": 1},
    )
    assert len(found.good) == 1
    assert [words.split(":")[0] for words in found.bad] == [
        "standard input line 1 spec 2, key command",
        "standard input line 1 spec 3",
        "standard input line 1 spec 4, key comand",
        "standard input line 1 spec 5",
        "standard input line 1 spec 6",
    ]
    assert all(words.isprintable() for words in found.bad), "what a spec holds is shown escaped"


def test_an_id_that_comes_with_two_specs_is_an_error_and_the_same_spec_is_not() -> None:
    mine = str(uuid7())
    found = checked(
        {"id": mine, "command": "a"},
        {"id": mine, "command": "b"},
        {"id": mine.upper(), "command": "a"},
    )
    assert found.bad == [
        "standard input line 1 spec 2, key id: expected another one, as"
        f" {mine} is the id of another spec, in standard input line 1 spec 1"
    ]
    assert len(found.good) == 2


def test_ids_are_counted_by_place_also_past_those_that_are_given_and_null() -> None:
    first, mine = uuid7(), uuid7()
    data = json.dumps(
        [{"command": "a"}, {"id": str(mine), "command": "b"}, {"id": None, "command": "c"}]
    ).encode()
    found = submit.check(read_specs(data), first)
    assert [job_id for _, job_id, _ in found.good] == [
        str(first),
        str(mine),
        str(following(first, 2)),
    ]
    assert [json.loads(text)["id"] for _, _, text in found.good] == [
        job_id for _, job_id, _ in found.good
    ]


def test_a_submit_that_broke_off_has_its_ids_again_and_one_that_stands_has_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with pytest.raises(KeyboardInterrupt), first_id.of_file(b"specs") as broke_off:
        raise KeyboardInterrupt
    with first_id.of_file(b"other specs") as other:
        assert other.value != broke_off.value
    with first_id.of_file(b"specs") as again:
        assert again.value == broke_off.value
        with first_id.of_file(b"specs") as meanwhile:  # a submit that is under way is another one
            assert meanwhile.value != broke_off.value
            assert str(meanwhile.value) in meanwhile.again
        again.forget()
    with first_id.of_file(b"specs") as anew:
        assert anew.value != broke_off.value


def test_a_note_of_yesterday_is_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    with first_id.of_file(b"specs") as yesterday, first_id.of_file(b"others"):
        pass
    for note in (tmp_path / "hodei" / "submits").iterdir():
        os.utime(note, (time.time() - 90_000, time.time() - 90_000))
    with first_id.of_file(b"specs") as today:
        assert today.value != yesterday.value
    assert len(list((tmp_path / "hodei" / "submits").iterdir())) == 1


def test_without_a_folder_to_write_to_the_words_say_how(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    with first_id.of_file(b"specs") as first:
        assert first.again == f"it may be repeated with --ids-from {first.value}"
        assert first_id.given(str(first.value)).value == first.value
    with pytest.raises(click.UsageError, match="an earlier try printed"):
        first_id.given("584a465b-d208-4a05-beef-8671b9bc2805")
