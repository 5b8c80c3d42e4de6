"""Colour, on a terminal alone: never into a pipe, never with NO_COLOR or TERM=dumb in the
environment, and then no escape of any kind is written."""

import os
import sys

import click

from hodei.domain.job import JobState
from hodei.domain.token import TokenState
from hodei.domain.worker import WorkerState

STATE_COLOURS: dict[str, str] = {
    JobState.SUCCEEDED: "green",
    JobState.FAILED: "red",
    JobState.CANCELLED: "yellow",
    JobState.RUNNING: "cyan",
    WorkerState.READY: "green",
    WorkerState.BUSY: "cyan",
    WorkerState.UNREACHABLE: "red",
    WorkerState.TERMINATED: "bright_black",
    WorkerState.DRAINING: "yellow",
    TokenState.USABLE: "green",
}
"""The colour of a value that is one of these words."""


def has_colour() -> bool:
    """Whether standard output may have colour (https://no-color.org)."""
    environment = os.environ
    refused = environment.get("NO_COLOR") or environment.get("TERM") == "dumb"
    return not refused and sys.stdout.isatty()


def painted(text: str, value: str) -> str:
    """The text in the colour of the value that it shows, where that has one."""
    colour = STATE_COLOURS.get(value)
    return click.style(text, fg=colour) if colour and has_colour() else text


def bold(text: str) -> str:
    return click.style(text, bold=True) if has_colour() else text
