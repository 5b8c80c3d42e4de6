"""Each example of docs/client.md runs, and prints what the page says."""

import re
from collections.abc import Iterator
from typing import Any

import pytest

from hodei.client import errors
from tests.conftest import TREE
from tests.running import Hodei

PAGE = (TREE / "docs/client.md").read_text()

EXAMPLES = re.findall(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", PAGE, re.M | re.S)


def test_each_block_of_the_page_is_taken() -> None:
    assert len(EXAMPLES) == PAGE.count("```python\n") > 8
    assert sum(bool(said) for _, said in EXAMPLES) == PAGE.count("```text\n") > 4


@pytest.fixture
def environment(hodei: Hodei, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Where the examples find the servers and the database."""
    monkeypatch.setenv("HODEI_SERVER_ADDRESS", ",".join(hodei.addresses))
    monkeypatch.setenv("DATABASE_URL", hodei.url)
    yield
    hodei.sql("DROP TABLE IF EXISTS orders, invoices")


@pytest.mark.parametrize(("code", "said"), EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_runs(
    code: str,
    said: str,
    hodei: Hodei,
    environment: None,
    django_database: Any,
    capsys: pytest.CaptureFixture[str],
) -> None:
    here = code.replace("127.0.0.1:50051", ",".join(hodei.addresses))
    exec(compile(here, "docs/client.md", "exec"), {"__name__": "__main__"})
    assert capsys.readouterr().out == said


def test_the_table_of_errors_has_each_of_them() -> None:
    _, _, table = PAGE.partition("| error | meaning |\n")
    named = re.findall(r"^\| `(\w+)` \|", table, re.M)
    assert sorted(named) == sorted({*errors.__all__} - {"HodeiError"})
