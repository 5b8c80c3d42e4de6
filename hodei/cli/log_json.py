"""A log as JSON: the same bytes, whatever they are and wherever chunks end."""

import base64
import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hodei.cli import show

STREAMS = {1: "stdout", 2: "stderr", 3: "notice"}


@dataclass
class _Carried:
    """The beginning of a character whose end is in the next chunk of its stream."""

    data: bytes
    chunk: Any

    @property
    def end(self) -> int:
        """Of its chunk: the offset of what follows."""
        return int(self.chunk.byte_offset) + len(self.chunk.data)


def chunk_dicts(chunks: Iterable[Any]) -> Iterator[dict[str, Any]]:
    """Each has either `text` or, where it is no UTF-8, `data_base64`. `byte_offset` is that of its
    first byte; a character at a chunk's border belongs to the later of two."""
    carried: dict[tuple[int, int], _Carried] = {}  # by lease and stream
    for chunk in chunks:
        key = (chunk.lease, chunk.stream)
        before = carried.pop(key, None)
        if before and before.end != chunk.byte_offset:  # something is missing between
            yield _dict(before.chunk, before.data, before.end - len(before.data))
            before = None
        data = (before.data if before else b"") + chunk.data
        begun = _begun(data)
        if begun:
            carried[key] = _Carried(begun, chunk)
            data = data[: -len(begun)]
        if data:
            offset = chunk.byte_offset - (len(before.data) if before else 0)
            yield _dict(chunk, data, offset)
    for left in carried.values():
        yield _dict(left.chunk, left.data, left.end - len(left.data))


def _begun(data: bytes) -> bytes:
    """The character that it ends in the middle of. Of what is no UTF-8 at all, nothing is waited
    for."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(data)
    except UnicodeDecodeError:
        return b""
    return bytes(decoder.getstate()[0])


def _dict(chunk: Any, data: bytes, offset: int) -> dict[str, Any]:
    try:
        said = {"text": data.decode()}
    except UnicodeDecodeError:
        said = {"data_base64": base64.b64encode(data).decode()}
    return {
        "stream": STREAMS[chunk.stream],
        "attempt": chunk.attempt,
        "byte_offset": offset,
        "first_line": chunk.first_line,
        "read_at": show.instant(chunk.read_unix_us),
        "late": chunk.late,
        **said,
    }
