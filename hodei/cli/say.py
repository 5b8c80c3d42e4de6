"""Hodei's own words, apart from what jobs write."""

import contextlib

import click

from hodei.domain.text import shown


def say(words: str) -> None:
    """Prints words on stderr, without what a terminal obeys. Where nobody reads it any more (a
    terminal that hung up) they are lost, and the command goes on."""
    with contextlib.suppress(OSError):
        click.echo("\n".join(map(shown, words.split("\n"))), err=True)
