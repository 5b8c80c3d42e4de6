"""One system of two releases for each test."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.running import new_database
from tests.upgrade.releases import BEFORE, Both, both


@pytest.fixture
def releases(
    pg_server: SimpleNamespace, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Both]:
    """With the release before of the test's own parameter, if it has one."""
    made = both(new_database(pg_server), tmp_path, getattr(request, "param", BEFORE))
    yield made
    made.new.stack.stop()
    made.old.stack.stop()
    made.conn.close()
