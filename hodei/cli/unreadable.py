"""Answers that are no answers to what was asked: of another program, of a release that is far apart,
or of a server that lies. What fails on the values of such an answer is told as what it is."""

from hodei.domain.text import shown, words_of

ERRORS = (ValueError, OverflowError, RecursionError)
"""What values fail with that are not of the form that was agreed."""

_answered_by: list[str] = []
"""The server that has answered last in this command, if one has."""


def begin() -> None:
    """A command begins: no server has answered yet."""
    _answered_by.clear()


def answered(address: str) -> None:
    """A server has answered."""
    _answered_by[:] = [address]


def words(error: Exception) -> str | None:
    """The words for an error that the answer of a server may have made. None: no server has answered,
    or it is another error."""
    if not _answered_by or not isinstance(error, ERRORS):
        return None
    why = f"{type(error).__name__}: {words_of(error)[:200]}"
    return shown(
        f"the answer of {_answered_by[0]} cannot be read ({why}): is it a server of Hodei? If it is,"
        " this is a defect; HODEI_TRACEBACK=1 shows where"
    )
