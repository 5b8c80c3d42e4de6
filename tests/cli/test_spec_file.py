"""Files of specs: what each form means, and the line and key of what is wrong."""

import json
import random
import textwrap
import time
from typing import Any

import click
import pytest

from hodei.cli import spec_yaml
from hodei.cli.spec_file import read_specs
from hodei.cli.submit import check
from hodei.domain.ids import uuid7
from tests.conftest import TREE
from tests.domain.good_specs import GOOD

ONE = '{"command": "true"}'


def read(text: str, name: str = "specs.yaml") -> list[Any]:
    return read_specs(text.encode(), name).specs


def refused(text: str | bytes, name: str = "specs.yaml") -> str:
    with pytest.raises(click.UsageError) as refusal:
        read_specs(text.encode() if isinstance(text, str) else text, name)
    return refusal.value.message


# ── JSON ──


def wheres(text: str, name: str = "-") -> list[str]:
    file = read_specs(text.encode(), name)
    return [file.where(number) for number in range(len(file.specs))]


def test_an_object_a_list_and_lines() -> None:
    assert wheres(ONE) == ["standard input line 1"]
    assert wheres(f"[{ONE},\n{ONE}]", "a.json") == ["a.json line 1", "a.json line 2"]
    assert wheres(f"[{ONE}, {ONE}]", "a.json") == ["a.json line 1 spec 1", "a.json line 1 spec 2"]
    assert wheres(f"{ONE}\n\n{ONE}\n", "a") == ["a line 1", "a line 3"]
    assert wheres(f"\ufeff{ONE}") == ["standard input line 1"], "a byte order mark"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{"command": "a", "timeout": 1,\n "timeout": 2}', "line 2, key timeout"),
        (
            '[{"command": "a"},\n{"command": "a", "env": {"A": "1",\n"A\\u001b": "", "A": "2"}}]',
            "line 3, key A",
        ),
        ('{"command": "a"}\n\n{"command": "a", "command": "b"}\n', "line 3, key command"),
        ('{"command": "a", "command": "b"}\n{"command": "a"}\n', "line 1, key command"),
        ('{"\\u001b": 1, "\\u001b": 2}', "line 1, key \\x1b"),
    ],
)
def test_a_key_that_json_has_twice_is_refused_as_yaml_refuses_it(text: str, place: str) -> None:
    for name in ("a.json", "a.jsonl"):
        assert (
            refused(text, name) == f"--file {name} {place}: expected each key once, got one twice"
        )


def test_only_a_newline_ends_a_line() -> None:
    text = '{"command": "a\u2028b\x85c"}\n' + ONE
    assert [one["command"] for one in read(text, "-")] == ["a\u2028b\x85c", "true"]


def test_a_key_of_json_has_its_line() -> None:
    text = """[
      {"command": "a:{[\\"", "env":
        {"A": "x",
         "B": [{"env": 1}]}},
      7, [],
      {"labels": {}, "command": "x",
       "timeout": "soon"}
    ]"""
    file = read_specs(text.encode(), "a.json")
    assert [file.where(number) for number in range(4)] == [
        "a.json line 2",
        "a.json line 5 spec 2",
        "a.json line 5 spec 3",
        "a.json line 6",
    ]
    assert file.fault(0, "env.B: expected a string") == (
        "a.json line 4, key env.B: expected a string"
    )
    assert file.fault(0, "env: expected x") == "a.json line 2, key env: expected x"
    assert file.fault(3, "timeout: expected x") == "a.json line 7, key timeout: expected x"
    assert file.fault(3, "spec: expected x") == "a.json line 6: spec: expected x"
    assert file.fault(1, "expected an object") == "a.json line 5 spec 2: expected an object"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"[]", "standard input: expected a spec for each job, got none"),
        (b"\xff{}", "standard input: expected UTF-8 text, got byte 0xff at 0"),
        (f"{ONE}\n{ONE}\n{{nope}}\n".encode(), "standard input line 3 column 2: expected JSON"),
        (b'[\n{"command": "true"},\n{"command" "true"}]', "line 3 column 12: expected JSON"),
        (
            b"[" * 100_000 + b"]" * 100_000,
            "standard input: expected a spec, got one that is nested",
        ),
        (f"{ONE}\n".encode() + b'{"a":' * 100_000, "standard input line 2: expected a spec, got"),
        (b"[\n" + b"9" * 5000 + b"]", "standard input: expected JSON, got text that does not"),
        (
            f"{ONE}\n".encode() + b"9" * 5000,
            "line 2: expected JSON, got text that does not parse: a",
        ),
    ],
)
def test_what_does_not_parse_names_the_place(data: bytes, words: str) -> None:
    assert words in refused(data, "-")


@pytest.mark.parametrize("more", ["0.00149999999999999999999", "1e-400", "1e400", "1e9" + "9" * 30])
def test_a_number_is_passed_on_as_it_is_written_or_refused(more: str) -> None:
    """PostgreSQL would store the first as 1 ms, and the float that is nearest to it is 2 ms."""
    words = "a number is too large or has too many digits"
    for data in (f'{{"timeout": {more}}}', f'[{{"timeout": {more}}}]', f"{ONE}\n[{more}]"):
        assert words in refused(data.encode(), "-")
    assert f"got '{more[:40]}' with the tag" in refused(f"timeout: {more}".encode(), "a.yaml")
    for kept in ("1.10", "0.0014999999999999998", "-0.0", "1e3"):
        assert read_specs(f'{{"timeout": {kept}}}'.encode(), "-").specs == [
            {"timeout": float(kept)}
        ]


# ── YAML ──


def test_yaml_is_known_by_the_name_or_by_what_it_holds() -> None:
    text = "command: ls\n"
    assert read(text, "a.yaml") == read(text, "a.YML") == read(text, "-") == [{"command": "ls"}]
    assert "a.json line 1 column 1: expected JSON" in refused(text, "a.json")
    assert read(ONE, "a.yaml") == [{"command": "true"}]
    for name in ("a.yaml", "a.json", "a.jsonl", "-"):
        assert f"{name}: expected a spec for each job".removeprefix("-") in refused("\r\n\n", name)


def test_documents_lists_aliases_and_merge_keys() -> None:
    text = """
    # what they share
    - &base
      labels: {zone: a}
      timeout: 1h30m
      command: ["true"]
    - <<: *base
      timeout: 5
    ---
    command: |
      echo a
      echo b
    ---
    ---
    - {command: x}
    """
    text = textwrap.dedent(text)
    base = {"labels": {"zone": "a"}, "timeout": "1h30m", "command": ["true"]}
    assert read(text) == [
        base,
        {**base, "timeout": 5},
        {"command": "echo a\necho b\n"},
        {"command": "x"},
    ]


def test_words_are_text_and_only_jsons_numbers_are_numbers() -> None:
    text = """
    umask: 0022
    run_at: 2026-01-31T12:00:00Z
    on_lost: fail
    env: {A: yes, B: no, C: "1", D: 1:30, E: 1_000, F: 0x1F, G: .inf, H: off, I: ''}
    numbers: [1, -5, 0.5, 1e3, true, False, null, ~, ]
    """
    (spec,) = read(text)
    assert (spec["umask"], spec["run_at"]) == ("0022", "2026-01-31T12:00:00Z")
    assert list(spec["env"].values()) == (
        ["yes", "no", "1", "1:30", "1_000", "0x1F", ".inf", "off", ""]
    )
    assert spec["numbers"] == [1, -5, 0.5, 1000.0, True, False, None, None]


def test_a_spec_is_the_same_in_yaml_as_in_json() -> None:
    import yaml

    specs = [given for given, _ in GOOD.values() if len(json.dumps(given)) < 10_000]
    assert read(yaml.safe_dump_all(specs)) == specs
    assert read(yaml.safe_dump(specs, allow_unicode=True)) == specs


def test_a_mistake_in_yaml_has_its_line_and_key() -> None:
    file = read_specs(
        b"- command: a\n- command: b\n\n  env:\n    A: 1\n  timeout: x\n", "specs.yaml"
    )
    assert file.fault(1, "timeout: expected seconds") == (
        "specs.yaml line 6, key timeout: expected seconds"
    )
    assert file.fault(1, "env.A: expected a string") == (
        "specs.yaml line 5, key env.A: expected a string"
    )
    assert file.fault(1, "command.x: what") == "specs.yaml line 2, key command.x: what"
    assert file.fault(0, "name: expected") == "specs.yaml line 1: name: expected"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("command: a\ncommand: b\n", "line 2: key command: expected it once, got it twice"),
        ("a: [1,\nb: }\n", "line 2: expected YAML, got text that does not parse"),
        ("a:\n\tb: c\n", "line 2: expected YAML, got text that does not parse"),
        ("a: b\n\nc: *d\n", "line 3: expected YAML, got text that does not parse"),
        ("a: \0\n", ": expected YAML, got text that does not parse: control characters"),
        ("a: \x1b\n", ": expected YAML, got text that does not parse: control characters"),
        ("a: !!python/object:os.system ls\n", "line 1: expected text, a number"),
        ("a: !!binary aGVsbG8=\n", "with the tag tag:yaml.org,2002:binary"),
        ("a: !!set {b, c}\n", "with the tag tag:yaml.org,2002:set"),
        ("a: !mine {b: c}\n", "with the tag !mine"),
        ("? [a, b]\n: c\n", "line 1: expected text as a key, got a list or an object"),
        ("a: 1e999\n", "got '1e999' with the tag"),
        ("a: " + "9" * 5000, "line 1: expected text, a number"),
        ("a: &a [*a]\n", "line 1: expected a spec, got an alias of what it stands in"),
        ("a: &a {<<: *a}\n", "line 1: expected a spec, got an alias of what it stands in"),
        ("a: {<<: 7}\n", "line 1: key <<: expected an object, or a list of them"),
        ("[" * 100_000, "nest"),
        ("- " * 100_000, "nest"),
        ("{a: " * 50_000, "nest"),
        ("---\n---\n", "expected a spec for each job, got none"),
    ],
)
def test_yaml_that_is_refused_in_words(text: str, words: str) -> None:
    said = refused(text)
    assert words in said
    assert said.startswith("--file specs.yaml")


LAUGHS = {
    "lists": "a0: &a0 [lol, lol]\n"
    + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30)),
    "objects": "a0: &a0 {x: lol}\n"
    + "".join(f"a{n}: &a{n} {{x: *a{n - 1}, y: *a{n - 1}}}\n" for n in range(1, 60)),
    "merge keys": "a0: &a0 {x: lol}\n"
    + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}], k{n}: x}}\n" for n in range(1, 60)),
    "a long text": f"a: &a {'x' * 100_000}\nb: [{', '.join(['*a'] * 1000)}]\n",
}


@pytest.mark.parametrize("text", LAUGHS.values(), ids=LAUGHS)
def test_aliases_cannot_make_a_small_file_large(text: str) -> None:
    begun = time.process_time()
    assert "expected aliases that repeat at most 262144 characters in a spec" in refused(text)
    assert time.process_time() - begun < 1


def test_what_many_specs_share_is_bounded_in_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec_yaml, "MOST_REPEATED_IN_ALL", 1_000_000)
    first = f"- &a {{command: {'x' * 10_000}}}\n"
    assert len(read(first + "- *a\n" * 90)) == 91
    assert "and 1000000 in a file" in refused(first + "- *a\n" * 110)
    assert "and 1000000 in a file" in refused((first + "- *a\n" * 40 + "---\n") * 3)


PARTS = (
    "&a ",
    "*a",
    "<<: ",
    "- ",
    "? ",
    "!!str ",
    "! ",
    *"{}[]:,'\"#@`|",
    "\n",
    "\t",
    "---\n",
    "\0",
)
PARTS += ("\x1b", "\ud800", "9" * 5000, "1e999", "\u2028", "\ufeff", "%YAML 1.1\n", "\\u")


def test_whatever_a_file_holds_it_is_read_or_refused_in_words() -> None:
    """Good files with a dozen random changes, at a fixed seed."""
    dice = random.Random(13)
    good = [(TREE / "examples/nightly.yaml").read_text(), f"[{ONE},\n {ONE}]"]
    good += [f"{ONE}\n{ONE}\n", "- &a {timeout: 1h}\n- <<: *a\n  command: ls\n"]
    refusals = 0
    for _ in range(2000):
        text = list(dice.choice(good))
        for _ in range(dice.randint(1, 12)):
            at = dice.randrange(len(text) + 1)
            if dice.random() < 0.6:
                text[at:at] = [dice.choice(PARTS)]
            else:
                del text[at : at + dice.randint(1, 20)]
        name = dice.choice(("-", "a.yaml", "b.json", "c.jsonl", "d"))
        try:
            file = read_specs("".join(text).encode("utf-8", "surrogatepass"), name)
        except click.UsageError as refusal:
            assert refusal.message.startswith("--file ")
            refusals += 1
        else:
            checked = check(file, uuid7())
            assert len(checked.good) + len(checked.bad) == len(file.specs)
    assert 1000 < refusals < 1990, "a fuzz that meets both"


def test_a_file_of_yaml_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spec_yaml, "MOST_BYTES", 100)
    assert refused("command: ls\n" + "#" * 100) == (
        "--file specs.yaml: expected at most 100 characters of YAML; of JSON there may be more"
    )
    assert len(read(ONE + " " * 100, "specs.json")) == 1
