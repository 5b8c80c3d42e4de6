"""One attempt's log on its way to the agent: what was sent and not acknowledged is bounded."""

from typing import Any, Protocol

from hodei_worker.supervisor.spool import Chunk, Tape

WINDOW_BYTES = 1_500_000
"""Of one attempt's log sent to the agent and not acknowledged by a server. At its end nothing more is
sent until an acknowledgement comes."""


class Send(Protocol):
    """False: there is no agent that could hear it."""

    def __call__(self, op: str, payload: bytes = b"", **header: Any) -> bool: ...


class LogWindow:
    def __init__(self, lease: int, tape: Tape, send: Send) -> None:
        self.tape = tape
        self._lease = lease
        self._send = send
        self._reading = 0  # the agent's number for its last `read`
        self._next_seq: int | None = 0  # to be sent; None: until the agent says from where
        self._sizes: dict[int, int] = {}  # seq → bytes, of what was sent and is not acknowledged
        self._sent_bytes = 0  # their sum

    def wait_for_read(self) -> None:
        """A new agent says first from which chunk on it wants to hear."""
        self._next_seq, self._sent_bytes, self._sizes = None, 0, {}

    def read_from(self, seq: int, reading: int) -> None:
        """The agent wants all from `seq` on, though it may have heard some: all before is stored."""
        self.tape.ack(seq)
        self._next_seq, self._sent_bytes, self._sizes = max(seq, self.tape.acked), 0, {}
        self._reading = reading
        self.send_more()

    def on_ack(self, seq: int) -> None:
        """All chunks before `seq` are stored by a server."""
        for stored in range(self.tape.acked, seq):
            self._sent_bytes -= self._sizes.pop(stored, 0)
        self.tape.ack(seq)

    def send_more(self, fresh: Chunk | None = None) -> None:
        """Sends what the window allows; a chunk that was written just now need not be read back."""
        while self._next_seq is not None and self._sent_bytes < WINDOW_BYTES:
            known = fresh if fresh and fresh.seq == self._next_seq else None
            chunk = known or self.tape.read(self._next_seq)
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
