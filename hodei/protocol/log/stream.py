"""Standard error as the log uses it: lines that are whole, although its disk may be full for a
while or its reader gone."""

from typing import Any, TextIO


class Lines:
    """Writes past the buffers of the interpreter, which keep a part of what they could not write.

    Never raises: what cannot be written is lost. A line of which only the beginning was written is
    ended before the next one, so that no two become one.
    """

    def __init__(self, stream: TextIO | None) -> None:
        """None, as the interpreter has it where standard error is closed: all is lost."""
        buffer: Any = getattr(stream, "buffer", None)
        self._raw: Any = getattr(buffer, "raw", buffer)
        self._encoding = (stream and stream.encoding) or "utf-8"
        self._errors = (stream and stream.errors) or "backslashreplace"
        self._is_cut = False

    def write(self, text: str) -> None:
        """`text`: one or more lines, each with its end."""
        if self._raw is None:
            return
        data = text.encode(self._encoding, self._errors)
        data = b"\n" + data if self._is_cut else data
        written = 0
        try:
            while written < len(data) and (now := self._raw.write(data[written:])):
                written += now
        except (OSError, ValueError):  # ValueError: it was closed meanwhile
            pass
        if written:
            self._is_cut = data[written - 1 : written] != b"\n"
