"""What `hodei.tls` says about connections, in the words of a Python program.

It says them with the flags of the command line, which a program does not have."""

import re

_PHRASES = (
    (", or --tls", ""),
    (" without --tls", ""),
    ("add --tls, or", "write https:// before it, or"),
    ("and --tls means TLS", "and HODEI_TLS means TLS"),
)
"""Phrases about a flag that has no counterpart here, and what stands in their place."""

_FIELD = re.compile(r"--tls-(ca|name|cert|key)\b")


def for_python(words: str) -> str:
    """The same words, with `tls.ca` and its like for the flags: fields of the argument `tls`."""
    for phrase, ours in _PHRASES:
        words = re.sub(rf"{re.escape(phrase)}(?![-\w])", ours, words)
    return _FIELD.sub(r"tls.\1", words)
