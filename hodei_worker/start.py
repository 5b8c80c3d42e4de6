"""The program `hodei-worker`. A Ctrl-C ends it without a traceback until the agent handles the
signal."""

from hodei.protocol import interrupts


def main() -> None:
    interrupts.end_at_once()
    from hodei_worker.cli import main as program

    program()
