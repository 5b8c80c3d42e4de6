"""Pages whose commands and outputs are recorded: each ```console block of a page is run in a terminal
of 80 columns, and what is printed is compared with what the page says.

What differs from run to run (ids, times, sizes, addresses, who and where) is put for a word before
the comparison. `tools/sessions` writes the outputs anew."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

WIDTH, HEIGHT = 80, 40
LONGEST_S = "60"

BLOCK = re.compile(r"^```console\n(.*?)^```\n", re.MULTILINE | re.DOTALL)

VOLATILE = (
    (r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", "ID"),
    (r"\b[0-9a-f]{12}\b|\b[0-9a-f]{8}\b", "ID"),
    (r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d+)?)?Z?|\b\d\d:\d\d:\d\d(\.\d+)?", "TIME"),
    (r"\d+(\.\d+)? (ms|s|min|h)\b( \d+ (s|min)\b)?", "TOOK"),
    (r"\d+(\.\d+)? (B|KiB|MiB|GiB)\b", "SIZE"),
    (r"127\.0\.0\.1:\d+", "ADDRESS"),
    (r"cli:[^\s,]+", "USER"),
    (r"PostgreSQL [\d.]+", "PostgreSQL"),
    (r"\bbuild-\d\b", "WORKER"),  # which of them took a job
    (
        r"(?m)^(host|system|hardware|python|jobs run as|as root|server|heartbeat|credential) .*$",
        r"\1",
    ),
    (r"(?m)hodei/arch=.*$", "LABELS"),  # cut where the columns before leave room
    (r"[─-]{3,}", "---"),
    (r"[ \t]+", " "),
    (r"ADDRESS TIME \d+", "ADDRESS TIME WORKERS"),  # which server a worker has connected to
    # Columns that leave, or not, as the ones before are a character narrower or wider.
    (r"(?m)^(id name .* worker) attempts( waits for)?$", r"\1"),
    (r"(?m)\bWORKER \d+$", "WORKER"),
)


def stable(text: str) -> list[str]:
    """The lines of an output without what differs from run to run."""
    for pattern, word in VOLATILE:
        text = re.sub(pattern, word, text)
    return [line.strip() for line in text.splitlines() if line.strip()]


@dataclass
class Command:
    """A command of a page and the output that stands below it."""

    text: str
    output: str


def commands(block: str) -> Iterator[Command]:
    """The commands of a block: each begins with `$ ` and goes on in lines that begin with `> `."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        lines = part.splitlines(keepends=True)
        end = 1
        while end < len(lines) and lines[end].startswith("> "):
            end += 1
        text = "".join([lines[0], *(line[2:] for line in lines[1:end])])
        yield Command(text, "".join(lines[end:]))


def run(text: str, environment: dict[str, str], folder: Path) -> str:
    """What a command prints in a terminal, both streams together."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    with subprocess.Popen(
        ["timeout", "-k", "1", LONGEST_S, "bash", "-c", text],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        cwd=folder,
    ):
        os.close(theirs)
        written = b"".join(iter(lambda: _read(ours), b""))
    os.close(ours)
    return written.decode().replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # EIO: nobody has the terminal open any more
        return b""


def recorded(page: str, environment: dict[str, str], folder: Path) -> str:
    """The page with the outputs of today."""

    def anew(found: re.Match[str]) -> str:
        return "```console\n" + "".join(map(_shown, commands(found[1]))) + "```\n"

    def _shown(command: Command) -> str:
        typed = "$ " + command.text.rstrip("\n").replace("\n", "\n> ") + "\n"
        output = run(command.text, environment, folder)
        lines = "".join(f"{line.rstrip()}\n" for line in output.splitlines())
        return typed + lines

    return BLOCK.sub(anew, page)


def differences(before: str, after: str) -> list[tuple[str, list[str], list[str]]]:
    """Commands whose output is not what the page says: the command, what it says, what came."""
    pairs = zip(_all_commands(before), _all_commands(after), strict=True)
    return [
        (said.text, stable(said.output), stable(came.output))
        for said, came in pairs
        if stable(said.output) != stable(came.output)
    ]


def _all_commands(page: str) -> list[Command]:
    return [command for block in BLOCK.findall(page) for command in commands(block)]
