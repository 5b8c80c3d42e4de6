"""Hodei's own words, apart from what jobs write."""

import contextlib

import click


def say(words: str) -> None:
    """Prints words on stderr. Where nobody reads it any more (a terminal that hung up) they are
    lost, and the command goes on."""
    with contextlib.suppress(OSError):
        click.echo(words, err=True)
