"""gRPC's core writes lines of its own to standard error, unless it is told not to before anything
imports it. A process of its own is started here: others have imported it already."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hodei.domain import api_key
from tests.tls.certificates import Ca
from tests.tls.test_diagnosis import server


@pytest.mark.parametrize("words", ["login", "job run true", "status --format json"])
def test_only_our_line_tells_of_a_handshake_that_failed(words: str, tmp_path: Path) -> None:
    """Of two commands that import gRPC at different times, and of one whose errors are JSON, where
    gRPC's own lines are asked for."""
    ca, other = Ca(tmp_path / "one"), Ca(tmp_path / "other")
    environment = os.environ | {"HODEI_API_KEY": api_key.make("admin").text}
    environment.pop("GRPC_VERBOSITY", None)
    if "json" in words:
        environment |= {"GRPC_VERBOSITY": "debug", "GRPC_TRACE": "all"}
    with server(ca.make("server", "127.0.0.1")) as port:
        place = ("--server", f"https://127.0.0.1:{port}", "--tls-ca", str(other.file))
        ran = subprocess.run(
            [sys.executable, "-m", "hodei.cli.main", *place, *words.split()],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert (ran.returncode, ran.stderr.count("\n")) == (125, 1), ran.stderr
    assert f"of an unknown CA: expected one of the CAs in {other.file}" in ran.stderr
