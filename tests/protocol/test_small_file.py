"""Files of keys, tokens and URLs: what is no regular file is refused at once, by whatever reads it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hodei.domain.errors import Invalid
from hodei.protocol import api_key
from hodei.protocol.small_file import read_at_most
from hodei.secrets import keys
from hodei.tls import caller
from hodei.tls.bad import BadTls
from hodei_worker import secret_file

READERS: dict[str, tuple[Callable[[str], object], type[Exception]]] = {
    "API key": (lambda path: api_key.read(path, path), api_key.BadKey),
    "token or URL": (lambda path: secret_file.read(path, "--token-file"), secret_file.BadFile),
    "secret key": (lambda path: keys.read([path]), Invalid),
    "certificate": (lambda path: caller.read(path, "--tls-ca"), BadTls),
}


@pytest.fixture
def fifo(tmp_path: Path) -> str:
    os.mkfifo(tmp_path / "fifo")
    return str(tmp_path / "fifo")


@pytest.mark.parametrize("reader", READERS)
def test_a_pipe_is_not_waited_for(reader: str, fifo: str) -> None:
    read, refusal = READERS[reader]
    folder = str(Path(fifo).parent)
    words = {fifo: "expected a file, got something else", folder: "Is a directory"}
    words |= {"/dev/zero": words[fifo], "nul\0": "embedded null byte"}
    for path, why in words.items():
        with pytest.raises(refusal) as refused:
            read(path)
        assert str(refused.value).endswith(f"{path}: {why}")


def test_no_more_is_read_than_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 100_000)
    assert read_at_most(str(path), 10) == b"x" * 10
    assert read_at_most(str(path), 200_000) == b"x" * 100_000
