"""`hodei job logs --timestamps`: a stamp at the start of each line of each stream, wherever chunks
end."""

import pytest

from hodei.cli.log_output import Printer
from hodei.protocol import hodei_pb2 as pb

Chunk = pb.ReadLogsResponse.Chunk
STAMP = "2026-11-26T09:30:12.345Z "
AT_US = 1_795_685_412_345_678


def printed(
    capfdbinary: pytest.CaptureFixture[bytes], *chunks: tuple[pb.Stream, bytes]
) -> list[str]:
    printer = Printer(timestamps=True)
    for stream, data in chunks:
        printer.write(Chunk(lease=1, attempt=1, stream=stream, data=data, read_unix_us=AT_US))
    out, err = capfdbinary.readouterr()
    return [out.decode().replace(STAMP, "|"), err.decode().replace(STAMP, "|")]


@pytest.mark.parametrize(
    ("chunks", "out", "err"),
    [
        ([(pb.STDOUT, b"a\n")], "|a\n", ""),
        ([(pb.STDOUT, b"a\nb\n")], "|a\n|b\n", ""),
        ([(pb.STDOUT, b"a")], "|a", ""),
        (
            [(pb.STDOUT, b"a"), (pb.STDOUT, b"b\nc"), (pb.STDOUT, b"\n"), (pb.STDOUT, b"d\n")],
            "|ab\n|c\n|d\n",
            "",
        ),
        ([(pb.STDOUT, b"\n\n")], "|\n|\n", ""),
        (
            [(pb.STDOUT, b"a"), (pb.STDERR, b"e\n"), (pb.STDOUT, b"b\n")],
            "|ab\n",
            "|e\n",
        ),  # each stream by itself
        ([(pb.STDOUT, b"a\r\nb")], "|a\r\n|b", ""),
    ],
)
def test_lines_are_stamped_once(
    capfdbinary: pytest.CaptureFixture[bytes],
    chunks: list[tuple[pb.Stream, bytes]],
    out: str,
    err: str,
) -> None:
    assert printed(capfdbinary, *chunks) == [out, err]
