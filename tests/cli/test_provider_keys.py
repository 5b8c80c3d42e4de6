"""The keys of a provider's config (hodei/domain/provider_keys.py) beside everything that has to know
each of them: the record, the flags, the page and the shape."""

import dataclasses
import re

import click
import pytest

from hodei.cli.global_flags import GlobalFlag
from hodei.cli.provider import provider as group
from hodei.domain import durations
from hodei.domain.provider import Settings
from hodei.domain.provider_keys import KEYS, Number, Switch, Text, Time
from hodei.shapes.provider import Provider
from tests.conftest import TREE

OF_ADD = {"name", "max_workers", "priority", "output"}
"""Parameters of `hodei provider add` that are no keys of config."""


def rows_of_the_page() -> dict[str, tuple[str, str]]:
    """The meaning and the default of each key that the page has. A row may name several more."""
    page = (TREE / "docs/workers-on-demand.md").read_text()
    table = page.partition("| key of `config` |")[2].partition("\n\n")[0]
    found = {}
    for key, meaning, default in re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) ?\|$", table, re.M):
        found[key] = (meaning, default.strip("` "))
        found |= dict.fromkeys(re.findall(r"`(tls_\w+)`", meaning), (meaning, ""))
    return found


def as_read(default: str) -> object:
    """A default in the words of people: a time in seconds, a number, or the text."""
    seconds = durations.seconds(re.sub(r" ?min", "m", default))
    return default if seconds is None else float(seconds)


def test_the_record_has_a_field_with_the_default_of_each_key() -> None:
    fields = {field.name: field for field in dataclasses.fields(Settings)}
    names = {key.name + "_s" if isinstance(key, Time) else key.name: key for key in KEYS}
    assert fields.keys() - {"provider_id", "name", "kind", "max_workers"} == names.keys()
    for name, key in names.items():
        if isinstance(key, Text | Number | Switch | Time):
            assert fields[name].default == key.default, name


def test_each_key_has_a_flag() -> None:
    add = group.commands["add"]
    own = [one for one in add.params if not isinstance(one, GlobalFlag)]  # others come when it runs
    flags = {"labels" if one.name == "label" else one.name for one in own}
    assert flags - OF_ADD == {key.name for key in KEYS}


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.name)
def test_the_page_and_the_flags_name_its_default(key: object) -> None:
    name: str = key.name  # type: ignore[attr-defined]
    default = getattr(key, "default", "")
    if not default or (isinstance(key, Text) and name == "image"):
        return
    assert as_read(rows_of_the_page()[name][1]) == default
    context = click.Context(group.commands["add"])
    (flag,) = (one for one in context.command.params if one.name == name)
    record = flag.get_help_record(context)
    assert record
    words = re.split(r"[\s;\[\]()]+", record[1].removesuffix("."))
    assert default in [as_read(word.rstrip(".")) for word in words]


def test_the_page_has_each_key() -> None:
    assert rows_of_the_page().keys() == {key.name for key in KEYS}


def test_the_shape_has_each_key_but_the_files_of_tls() -> None:
    shown = {field.name for field in dataclasses.fields(Provider)}
    for key in KEYS:
        name = key.name + "_s" if isinstance(key, Time) else key.name
        hidden = name.startswith("tls_") or name == "server_ca"
        assert hidden or name in shown or name in {"socket_path", "host"}, name
    assert "engine" in shown, "socket_path or host"
