"""The command line in this process, against real servers: for tests with many short calls."""

from click.testing import CliRunner, Result

from hodei.cli.main import cli
from tests.running import Hodei


def here(hodei: Hodei, *words: str) -> Result:
    return CliRunner().invoke(cli, ["--server", hodei.addresses[0], *words], catch_exceptions=False)
