"""Reads a number of a spec's file. PostgreSQL reads what is written (domain/spec_json.py): what a
float would silently round could be stored, or refused, otherwise than by another door."""

from decimal import Decimal, InvalidOperation


def exact_float(text: str) -> float:
    """Returns the float that is passed on as it was written. ValueError: it is too large, or has more
    digits than a float keeps."""
    number = float(text)
    try:
        if Decimal(repr(number)) == Decimal(text):
            return number
    except InvalidOperation:  # its exponent
        pass
    raise ValueError
