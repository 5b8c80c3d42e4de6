"""Flags about container jobs that a worker cannot follow are refused at its start."""

import pytest
from click.testing import CliRunner

from hodei_worker.cli import worker

ENDS_EARLY = ("--slots", "0")  # a worker that takes its other flags ends there


@pytest.mark.parametrize(
    ("flag", "value"),
    [
        ("--docker-socket", "/srv/docker.sock"),
        ("--allow-image", "docker.io/library/*"),
        ("--allow-volume", "/data/*"),
        ("--allow-network", "jobs"),
        ("--pull-policy", "never"),
    ],
)
def test_they_need_the_executor_docker(flag: str, value: str) -> None:
    variable = f"HODEI_{flag[2:].replace('-', '_').upper()}"
    words = f"{flag} (or {variable}): expected --executor docker with it"
    for arguments, environment in (((flag, value), {}), ((), {variable: value})):
        refused = CliRunner().invoke(worker, arguments, env=environment)
        assert (refused.exit_code, words in refused.output) == (2, True), refused.output
        taken = CliRunner().invoke(
            worker, ("--executor", "docker", *ENDS_EARLY, *arguments), env=environment
        )
        assert "--slots: expected" in taken.output
