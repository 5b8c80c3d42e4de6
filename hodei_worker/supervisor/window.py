"""Sends one attempt's log to the agent. The bytes that are sent and not acknowledged have a
bound."""

from typing import Any, Protocol

from hodei_worker.supervisor.spool import Chunk, JobSpool

WINDOW_BYTES = 1_500_000
"""Bytes of one attempt's log that are sent and that no server has acknowledged. When they reach it,
nothing more is sent until an acknowledgement comes."""


class Send(Protocol):
    """Sends a frame to the agent. Returns False if no agent is connected."""

    def __call__(self, op: str, payload: bytes = b"", **header: Any) -> bool: ...


class LogWindow:
    def __init__(self, lease: int, job_spool: JobSpool, send: Send) -> None:
        self.spool = job_spool
        self._lease = lease
        self._send = send
        self._reading = 0  # the agent's number for its last `read`
        self._next_seq: int | None = 0  # next chunk to send; None until the agent's `read`
        self._sizes: dict[int, int] = {}  # seq → bytes of each unacknowledged chunk
        self._sent_bytes = 0  # their sum

    def wait_for_read(self) -> None:
        """Sends nothing until the new agent has said from which chunk on it needs the log."""
        self._next_seq, self._sent_bytes, self._sizes = None, 0, {}

    def read_from(self, seq: int, reading: int) -> None:
        """Sends all chunks from `seq` on, also those that were sent before. Those before `seq` are
        stored by a server."""
        self.spool.ack(seq)
        self._next_seq, self._sent_bytes, self._sizes = max(seq, self.spool.acked), 0, {}
        self._reading = reading
        self.send_more()

    def on_ack(self, seq: int) -> None:
        """A server has stored all chunks before `seq`."""
        for stored in range(self.spool.acked, seq):
            self._sent_bytes -= self._sizes.pop(stored, 0)
        self.spool.ack(seq)

    def send_more(self, fresh: Chunk | None = None) -> None:
        """Sends as much as the window allows. `fresh`: a chunk that was just written, so that it is
        not read from the disk again."""
        while self._next_seq is not None and self._sent_bytes < WINDOW_BYTES:
            known = fresh if fresh and fresh.seq == self._next_seq else None
            chunk = known or self.spool.read(self._next_seq)
            if chunk is None or not self._send_chunk(chunk):
                return
            self._next_seq += 1
            self._sent_bytes += len(chunk.data)
            self._sizes[chunk.seq] = len(chunk.data)

    def _send_chunk(self, chunk: Chunk) -> bool:
        return self._send(
            "chunk",
            chunk.data,
            lease=self._lease,
            seq=chunk.seq,
            stream=chunk.stream,
            offset=chunk.offset,
            line=chunk.line,
            read_us=chunk.read_us,
            reading=self._reading,
        )
