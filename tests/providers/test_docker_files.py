"""Files on a server's host that a provider names: what is none is refused at once, and is not taken
for an engine that does not answer."""

import os
import uuid
from pathlib import Path

import pytest

from hodei.domain.provider import Settings
from hodei.providers import docker, docker_client
from hodei.providers.contract import ProviderError, Unanswered


def settings(**keys: str) -> Settings:
    return Settings(uuid.UUID(int=1), "Docker", "docker", 1, **keys)  # type: ignore[arg-type]


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, str]:
    """A FIFO that nobody writes, a folder, a text, a file that is too long, and no file."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "text").write_text("no certificate")
    (tmp_path / "long").write_bytes(b"-----BEGIN CERTIFICATE-----\n" + b"A" * (1 << 20))
    places = {name: str(tmp_path / name) for name in ("fifo", "text", "long", "absent")}
    return places | {"folder": str(tmp_path), "device": "/dev/zero", "nul": "/tmp/a\0b"}


WORDS = {
    "fifo": "expected a file, got something else",
    "folder": "Is a directory",
    "device": "expected a file, got something else",
    "text": "expected a file in PEM",
    "long": "expected a file of at most 1048576 bytes",
    "absent": "No such file or directory",
    "nul": "null byte",
}


@pytest.mark.parametrize("kind", WORDS)
def test_a_path_that_is_no_file_of_certificates_is_refused_by_its_key(
    paths: dict[str, str], kind: str
) -> None:
    with pytest.raises(Unanswered) as refused:
        docker_client.connect(
            settings(host="tcp://127.0.0.1:1", tls_ca=paths[kind], tls_cert="/c", tls_key="/k")
        )
    assert str(refused.value).startswith("config.tls_ca /")
    assert WORDS[kind] in str(refused.value)
    with pytest.raises(ProviderError) as unusable:
        docker._ca(paths[kind])
    assert str(unusable.value).startswith("config.server_ca /")
    assert WORDS[kind] in str(unusable.value)
