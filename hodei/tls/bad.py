"""The error of everything in this package."""


class BadTls(Exception):
    """A file or a setting is not as expected. The message names it, and says what was expected."""
