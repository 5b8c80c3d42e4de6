"""Settings, and who the worker is."""

from pathlib import Path

import pytest

from hodei.tls.address import Address
from hodei_worker import identity
from hodei_worker.config import BadSetting, Settings, addresses, labels, projects


def test_addresses_with_and_without_scheme() -> None:
    assert [str(one) for one in addresses("http://a:1, b:2,[::1]:3/,https://c:4", tls=False)] == [
        "a:1",
        "b:2",
        "[::1]:3",
        "https://c:4",
    ]


@pytest.mark.parametrize("text", ["", "a", "a:", ":1", "a:x", "a:70000"])
def test_bad_addresses_are_refused(text: str) -> None:
    with pytest.raises(BadSetting, match="expected HOST:PORT"):
        addresses(text, tls=False)


def test_labels() -> None:
    assert labels(("a=1", "b=x=y,c=")) == {"a": "1", "b": "x=y", "c": ""}
    with pytest.raises(BadSetting, match="expected KEY=VALUE"):
        labels(("a",))


def test_projects() -> None:
    assert projects(()) == ()
    assert projects(("web,shop", "web")) == ("web", "shop")
    for text in ("", "web,", "a b", "-a", "x" * 64, "é"):  # "" would take the limit away
        with pytest.raises(BadSetting, match="expected 1 to 63 letters"):
            projects((text,))
    with pytest.raises(BadSetting, match="at most 100 projects, got 101"):
        many = tuple(f"p{n}" for n in range(101))
        Settings((Address("a:1"),), None, 1, {}, Path("/x"), "x", projects=many)


def test_what_is_no_utf_8_is_refused() -> None:
    for name, folder in (("\udcff", "/x"), ("x\x1b", "/x"), ("x", "/\udcff")):
        with pytest.raises(BadSetting, match="without control characters"):
            Settings((Address("a:1"),), None, 1, {}, Path(folder), name)
    with pytest.raises(BadSetting, match="expected KEY=VALUE"):
        labels(("a=\udcff",))


def test_an_identity_is_made_once_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    first = identity.load(tmp_path)
    assert identity.load(tmp_path) == first
    assert [len(secret.value) for secret in first.secrets] == [32]
    (tmp_path / "identity.json").write_text("{")
    with pytest.raises(BadSetting, match=r"identity\.json is damaged"):
        identity.load(tmp_path)


def test_a_copy_of_the_state_folder_is_another_instance(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    assert identity.instance(one) == identity.instance(one) != identity.instance(other)
