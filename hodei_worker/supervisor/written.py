"""How far the streams of one log are written: the offset and the line of each stream's next byte."""

STREAMS = 4
"""Numbers of streams begin with 1; place 0 is not used."""


class Written:
    """Output that was left out counts too."""

    def __init__(self) -> None:
        self.offsets = [0] * STREAMS
        self.lines = [1] * STREAMS
        self.in_line = [False] * STREAMS

    def count(self, stream: int, data: bytes) -> None:
        self.offsets[stream] += len(data)
        self.lines[stream] += data.count(b"\n")
        self.in_line[stream] = not data.endswith(b"\n")

    def begins_line(self, stream: int) -> bool:
        """Whether the next byte of the stream is the first of a line."""
        return not self.in_line[stream]

    def count_again(self, stream: int, offset: int, line: int, data: bytes) -> None:
        """Counts a chunk that may have been counted already."""
        if offset + len(data) > self.offsets[stream]:
            self.offsets[stream], self.lines[stream] = offset, line
            self.count(stream, data)
