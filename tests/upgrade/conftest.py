"""One system of two releases for each test."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.running import new_database
from tests.upgrade.releases import Both, both


@pytest.fixture
def releases(pg_server: SimpleNamespace, tmp_path: Path) -> Iterator[Both]:
    made = both(new_database(pg_server), tmp_path)
    yield made
    made.new.stack.stop()
    made.old.stack.stop()
    made.conn.close()
