"""A log as JSON: the same bytes, whatever they are and wherever chunks end."""

import base64
import codecs
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hodei.shapes.fields import Time
from hodei.shapes.job import LogChunk

STREAMS = {1: "stdout", 2: "stderr", 3: "notice"}


@dataclass
class _Carried:
    """The beginning of a character whose end is in the next chunk of its stream."""

    data: bytes
    chunk: Any

    @property
    def end(self) -> int:
        """The offset of what follows its chunk."""
        return int(self.chunk.byte_offset) + len(self.chunk.data)


def log_chunks(job_id: str, chunks: Iterable[Any]) -> Iterator[LogChunk]:
    """Yields the chunks of a job's ReadLogs as they are shown; a character that lies across the
    border of two chunks belongs to the later one."""
    carried: dict[tuple[int, int], _Carried] = {}  # by lease and stream
    for chunk in chunks:
        key = (chunk.lease, chunk.stream)
        before = carried.pop(key, None)
        if before and before.end != chunk.byte_offset:  # something is missing between
            yield _shown(job_id, before.chunk, before.data, before.end - len(before.data))
            before = None
        data = (before.data if before else b"") + chunk.data
        begun = _begun(data)
        if begun:
            carried[key] = _Carried(begun, chunk)
            data = data[: -len(begun)]
        if data:
            offset = chunk.byte_offset - (len(before.data) if before else 0)
            yield _shown(job_id, chunk, data, offset)
    for left in carried.values():
        yield _shown(job_id, left.chunk, left.data, left.end - len(left.data))


def _begun(data: bytes) -> bytes:
    """The first bytes of a character in the middle of which the data ends; empty for what is no
    UTF-8 anyway."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        decoder.decode(data)
    except UnicodeDecodeError:
        return b""
    return bytes(decoder.getstate()[0])


def _shown(job_id: str, chunk: Any, data: bytes, offset: int) -> LogChunk:
    text, data_base64 = None, None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        data_base64 = base64.b64encode(data).decode()
    return LogChunk(
        job_id=job_id,
        stream=STREAMS.get(chunk.stream, "notice"),
        lease=chunk.lease,
        attempt=chunk.attempt,
        byte_offset=offset,
        first_line=chunk.first_line,
        read_at=Time(chunk.read_unix_us) if chunk.read_unix_us else None,
        late=chunk.late,
        text=text,
        data_base64=data_base64,
    )
